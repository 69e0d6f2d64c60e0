package espalier.kernel;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.TreeSet;

/**
 * The node ids of one client of a server. Client {@code c} owns the 2^26 ids from {@code c << 26} on, as sclang and
 * Supriya divide them too: the first 33 belong to default groups, those up to the initial id are permanent, the rest are
 * handed out in turn and begin again at the initial id when they are used up.
 */
public final class NodeIds {

  /** The most clients whose ids fit 31 bits. */
  public static final int MAX_CLIENTS = 32;

  private static final int PER_CLIENT = 1 << 26;
  private static final int FIRST_PERMANENT = MAX_CLIENTS + 1;

  /** The most ids that wait to come again. */
  private static final int MAX_UNUSED = 1 << 16;

  private final int base;
  private final int initial;
  private final Deque<Integer> freed = new ArrayDeque<>();
  private final TreeSet<Integer> unused = new TreeSet<>();
  private int next;
  private boolean wrapped;
  private int nextPermanent = FIRST_PERMANENT;

  /**
   * The ids of a client.
   *
   * @param clientId 0 to 31, from the server's answer to {@code /notify}
   * @param initial the first id handed out by {@link #next}, less the client's base; usually 1000
   * @throws IllegalArgumentException out of these ranges
   */
  public NodeIds(int clientId, int initial) {
    if (clientId < 0 || clientId >= MAX_CLIENTS) {
      throw new IllegalArgumentException("A client id is 0 to " + (MAX_CLIENTS - 1) + ", not " + clientId);
    }
    if (initial < FIRST_PERMANENT || initial >= PER_CLIENT) {
      throw new IllegalArgumentException(
          "The initial node id is " + FIRST_PERMANENT + " to " + (PER_CLIENT - 1) + ", not " + initial);
    }
    this.base = clientId * PER_CLIENT;
    this.initial = initial;
    this.next = initial;
  }

  /** {@return one that was given back, or the next id, which comes again after 2^26 less {@code initial} others} */
  public synchronized int next() {
    if (!unused.isEmpty()) {
      return unused.pollFirst();
    }
    int id = base + next;
    next++;
    if (next == PER_CLIENT) {
      next = initial;
      wrapped = true;
    }
    return id;
  }

  /**
   * Gives an id back that no server has seen: {@link #next} hands it out again before it goes on to new ones. Of several,
   * the lowest comes first.
   *
   * @param id from {@link #next}
   * @return false where it was not handed out by {@link #next}, waits already, or 65,536 others wait: such an id stays
   *     out of use until its turn comes again
   */
  public synchronized boolean giveBack(int id) {
    int local = id - base;
    boolean handedOut = owns(id) && local >= initial && (wrapped || local < next);
    return handedOut && unused.size() < MAX_UNUSED && unused.add(id);
  }

  /**
   * Whether an id is this client's, handed out or not.
   *
   * @param id any number
   * @return whether it is one of the 2^26 that this client owns
   */
  public boolean owns(int id) {
    return id >= base && id - base < PER_CLIENT;
  }

  /**
   * An id that {@link #next} never gives, until it is freed.
   *
   * @return the id
   * @throws IllegalStateException when all of them are in use
   */
  public synchronized int nextPermanent() {
    if (!freed.isEmpty()) {
      return freed.poll();
    }
    if (nextPermanent == initial) {
      throw new IllegalStateException("All " + (initial - FIRST_PERMANENT) + " permanent node ids are in use");
    }
    return base + nextPermanent++;
  }

  /**
   * Gives a permanent id back.
   *
   * @param id from {@link #nextPermanent}
   * @return false where it is not one that is in use
   */
  public synchronized boolean freePermanent(int id) {
    int local = id - base;
    if (local < FIRST_PERMANENT || local >= nextPermanent || freed.contains(id)) {
      return false;
    }
    return freed.add(id);
  }
}
