package espalier.kernel;

import java.util.function.LongSupplier;

/**
 * How much a server may be sent before it shows that it has read what came before. Servers lose without a word what does
 * not fit into their sockets and queues. They answer in order: so the answer to any question shows that all before it was
 * read, and where nobody asks one in time, an echo is sent for that.
 *
 * <p>All but {@link #read}, {@link #sleep} and the counts is called by whoever holds the lock of the link's writer.
 */
final class SendWindow {

  /** An echo that is not answered for so long is asked again. */
  private static final long ASK_AGAIN_NANOS = 50_000_000;

  /** Now and then it is noted what had been sent until then: after so many packets, or so much of the room. */
  private static final int NOTE_EVERY = 16;

  /** So many notes are kept, the last ones: what is older is too long ago to matter. */
  private static final int NOTES = 512;

  private final long maxPackets;
  private final long maxBytes;
  private final long maxLoad;
  private final long patienceMillis;
  private final LongSupplier unreadLoad;

  /** All that was sent so far: packets, bytes, and what these take of a socket's buffer. */
  private long packets;
  private long bytes;
  private long load;

  /** The same when the last echo was asked. */
  private long packetsAsked;
  private long bytesAsked;
  private long loadAsked;

  private long askedNanos;

  /** Guards what follows, and is notified of each answer. */
  private final Object answered = new Object();

  /** The notes: when so many packets had been sent, how many bytes, and what they took of the socket's buffer. */
  private final long[] packetsThen = new long[NOTES];
  private final long[] bytesThen = new long[NOTES];
  private final long[] loadThen = new long[NOTES];
  private int newest;

  private long failedAt = -1;
  private volatile long packetsRead;
  private volatile long bytesRead;
  private volatile long loadRead;
  private volatile int waiting;
  private volatile long waits;
  private volatile long waitedNanos;

  /**
   * @param sent how many packets were sent so far; they are taken for read
   * @param maxPackets so many packets the server's queue holds
   * @param maxBytes so many bytes
   * @param maxLoad so many bytes the buffer of its socket holds, as the system counts them
   * @param patienceMillis so long a sender waits for room
   * @param unreadLoad how many bytes of that buffer are taken just now, -1 where that cannot be known
   */
  SendWindow(long sent, long maxPackets, long maxBytes, long maxLoad, long patienceMillis, LongSupplier unreadLoad) {
    this.packets = sent;
    this.packetsAsked = sent;
    this.packetsRead = sent;
    this.packetsThen[0] = sent;
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
    if (packets - packetsThen[newest] >= NOTE_EVERY
        || load - loadThen[newest] >= maxLoad / NOTE_EVERY
        || bytes - bytesThen[newest] >= maxBytes / NOTE_EVERY) {
      note();
    }
  }

  private void note() {
    synchronized (answered) {
      newest = (newest + 1) % NOTES;
      packetsThen[newest] = packets;
      bytesThen[newest] = bytes;
      loadThen[newest] = load;
    }
  }

  /** Whether half of the room was taken since the server was last known to read, or asked. */
  boolean isEchoDue() {
    return load - Math.max(loadAsked, loadRead) >= maxLoad / 2
        || packets - Math.max(packetsAsked, packetsRead) >= maxPackets / 2
        || bytes - Math.max(bytesAsked, bytesRead) >= maxBytes / 2;
  }

  /** An echo is about to be asked. */
  void asking() {
    note();
    packetsAsked = packets;
    bytesAsked = bytes;
    loadAsked = load;
    askedNanos = System.nanoTime();
  }

  /** The server has read so many packets, of all that were sent; called by any thread. */
  void read(long count) {
    synchronized (answered) {
      for (int i = 0; i < NOTES; i++) {
        int at = Math.floorMod(newest - i, NOTES);
        if (packetsThen[at] <= packetsRead) {
          return;
        }
        if (packetsThen[at] <= count) {
          packetsRead = packetsThen[at];
          bytesRead = bytesThen[at];
          loadRead = Math.max(loadRead, loadThen[at]);
          answered.notifyAll();
          return;
        }
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
    return packetsAsked <= packetsRead || System.nanoTime() - askedNanos > ASK_AGAIN_NANOS;
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
