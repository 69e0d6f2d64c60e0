package espalier.kernel;

import java.util.function.LongSupplier;

/**
 * How much a server may be sent before it shows that it has read what came before. Servers lose without a word what does
 * not fit into their sockets and queues; so now and then a question travels along, an echo, whose answer tells that all
 * before it was read.
 *
 * <p>All but {@link #echoed}, {@link #sleep} and the counts is called by whoever holds the lock of the link's writer.
 */
final class SendWindow {

  /** So many echoes, the last ones, are still of use when they are answered. */
  private static final int ECHOES = 64;

  /** An echo that is not answered for so long is asked again. */
  private static final long ASK_AGAIN_NANOS = 50_000_000;

  private final long maxPackets;
  private final long maxBytes;
  private final long maxLoad;
  private final long patienceMillis;
  private final LongSupplier unreadLoad;

  /** All that was sent so far: packets, bytes, and what these take of a socket's buffer. */
  private long packets;
  private long bytes;
  private long load;

  /** The same when the echo of a number was asked. */
  private final long[] packetsAt = new long[ECHOES];
  private final long[] bytesAt = new long[ECHOES];
  private final long[] loadAt = new long[ECHOES];

  private long asked;
  private long askedNanos;

  /** Guards what follows, and is notified of each echo that is answered. */
  private final Object answered = new Object();

  private long failedAt = -1;

  private volatile long echoed;
  private volatile long packetsRead;
  private volatile long bytesRead;
  private volatile long loadRead;
  private volatile int waiting;
  private volatile long waits;
  private volatile long waitedNanos;

  /**
   * @param maxPackets so many packets the server's queue holds
   * @param maxBytes so many bytes
   * @param maxLoad so many bytes the buffer of its socket holds, as the system counts them
   * @param patienceMillis so long a sender waits for room
   * @param unreadLoad how many bytes of that buffer are taken just now, -1 where that cannot be known
   */
  SendWindow(long maxPackets, long maxBytes, long maxLoad, long patienceMillis, LongSupplier unreadLoad) {
    this.maxPackets = maxPackets;
    this.maxBytes = maxBytes;
    this.maxLoad = maxLoad;
    this.patienceMillis = patienceMillis;
    this.unreadLoad = unreadLoad;
  }

  /** What a packet takes of a socket's buffer, which usually has 212,992 bytes: measured on Linux. */
  static long load(int length) {
    if (length <= 128) {
      return 832;
    }
    return length > 16_000 ? length + 1024 : (Long.highestOneBit(length + 399) << 1) + 256;
  }

  private boolean queueHas(int length) {
    long unread = bytes - bytesRead;
    return packets - packetsRead < maxPackets && (unread + length <= maxBytes || unread == 0);
  }

  private boolean socketHas(int length) {
    long unread = load - loadRead;
    return unread + load(length) <= maxLoad || unread == 0;
  }

  /** Whether there is room for a packet of so many bytes. */
  boolean has(int length) {
    return socketHas(length) && queueHas(length);
  }

  /** A packet is sent. */
  void add(int length) {
    packets++;
    bytes += length;
    load += load(length);
  }

  /** Whether half of the room was taken since the last echo was asked. */
  boolean isEchoDue() {
    int last = (int) (asked % ECHOES);
    return load - Math.max(loadAt[last], loadRead) >= maxLoad / 2
        || packets - packetsAt[last] >= maxPackets / 2
        || bytes - bytesAt[last] >= maxBytes / 2;
  }

  /** The number of the echo that is asked next. */
  long nextEcho() {
    return asked + 1;
  }

  /** The next echo is sent; {@link #add} has had its packet. */
  void asked() {
    synchronized (answered) {
      asked++;
      int at = (int) (asked % ECHOES);
      packetsAt[at] = packets;
      bytesAt[at] = bytes;
      loadAt[at] = load;
      askedNanos = System.nanoTime();
    }
  }

  /** An echo is answered; called by any thread. */
  void echoed(long echo) {
    synchronized (answered) {
      if (echo > echoed && echo > asked - ECHOES && echo <= asked) {
        int at = (int) (echo % ECHOES);
        packetsRead = packetsAt[at];
        bytesRead = bytesAt[at];
        loadRead = Math.max(loadRead, loadAt[at]);
        echoed = echo;
        answered.notifyAll();
      }
    }
  }

  /** Whether there is room after a wait, if need be by a look at the socket. */
  boolean makesRoom(int length) {
    if (queueHas(length) && !socketHas(length)) {
      long unread = unreadLoad.getAsLong();
      if (unread >= 0) {
        synchronized (answered) {
          loadRead = Math.max(loadRead, load - unread);
        }
      }
    }
    return has(length);
  }

  /** Whether who waits is to ask an echo. */
  boolean isEchoWanted() {
    return asked == echoed || System.nanoTime() - askedNanos > ASK_AGAIN_NANOS;
  }

  /** What grows as the server reads. */
  private long progress() {
    return packetsRead + loadRead;
  }

  /**
   * Waits for the server, but no longer than it takes to look again; called without the writer's lock.
   *
   * @param wait what this returned before, or null
   * @return to be given to {@link #over} in the end
   * @throws ServerBehindException where the server has read nothing for as long as a sender is patient, and from then on
   *     at once, until it reads again
   */
  Wait sleep(Wait wait) throws ServerBehindException {
    Wait w = wait == null ? new Wait(progress()) : wait;
    synchronized (answered) {
      waiting += wait == null ? 1 : 0;
      try {
        if (progress() == w.seen) {
          answered.wait(1);
        }
      } catch (InterruptedException e) {
        w.interrupted = true;
      }
      long now = System.nanoTime();
      if (progress() != w.seen) {
        w.seen = progress();
        w.seenNanos = now;
      } else if (failedAt == w.seen || now - w.seenNanos > patienceMillis * 1_000_000) {
        failedAt = w.seen;
        over(w);
        throw new ServerBehindException(unread(), patienceMillis);
      }
      return w;
    }
  }

  /** A wait is over. */
  void over(Wait wait) {
    synchronized (answered) {
      waiting--;
      waits++;
      waitedNanos += System.nanoTime() - wait.startNanos;
    }
    if (wait.interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** Whether a sender waits for room. */
  boolean isWaiting() {
    return waiting > 0;
  }

  /** How many packets are not known to have been read. */
  long unread() {
    return packets - packetsRead;
  }

  long waits() {
    return waits;
  }

  long waitedNanos() {
    return waitedNanos;
  }

  /** One sender that waits. */
  static final class Wait {
    private final long startNanos = System.nanoTime();
    private long seenNanos = startNanos;
    private long seen;
    private boolean interrupted;

    private Wait(long seen) {
      this.seen = seen;
    }
  }
}
