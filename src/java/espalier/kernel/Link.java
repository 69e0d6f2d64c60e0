package espalier.kernel;

import java.io.Closeable;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * A two-way line to one server: {@link UdpLink} or {@link TcpLink}.
 *
 * <p>One writer order: a packet whose {@code send} returned before another's began is on the wire before it, whichever
 * threads they ran on. One reader thread hands every packet to the listener, in the order of arrival.
 */
public abstract sealed class Link implements Closeable permits UdpLink, TcpLink {

  /** The receive buffer asked of the system: scsynth answers in bursts, and the usual 208 KiB hold 256 small packets. */
  static final int RECEIVE_BUFFER_BYTES = 4 << 20;

  private final InetSocketAddress remote;
  private final LinkListener listener;
  private final ReentrantLock writing = new ReentrantLock();
  private final OscCodec writer;
  private final OscCodec reader;
  private final AtomicLong received = new AtomicLong();
  private final AtomicLong malformed = new AtomicLong();
  private final AtomicLong faults = new AtomicLong();
  private final OscCodec asker = new OscCodec(1024);
  private final AtomicLong receivedBytes = new AtomicLong();
  private volatile long sent;
  private volatile long sentBytes;
  private volatile SendWindow window;
  private volatile Thread arriving;
  private volatile boolean closed;

  Link(InetSocketAddress remote, int maxPacketBytes, LinkListener listener) {
    this.remote = remote;
    this.listener = Objects.requireNonNull(listener, "listener");
    this.writer = new OscCodec(maxPacketBytes);
    this.reader = new OscCodec(maxPacketBytes);
  }

  /**
   * Sends no packets larger than this from now on: supernova reads 32,768 bytes of a UDP packet and no more.
   *
   * @param maxBytes the size of the largest
   */
  public final void limitPackets(int maxBytes) {
    writing.lock();
    try {
      writer.limit(maxBytes);
    } finally {
      writing.unlock();
    }
  }

  /**
   * Sends no more from now on than the server is known to hold: whoever sends more waits until it has read what came
   * before. Who hears the answers to questions says so, {@link #wasRead}; {@link LinkListener#echo} asks one where nobody
   * else does.
   *
   * @param maxPackets so many packets its queue holds
   * @param maxBytes so many bytes
   * @param maxLoad so many bytes the buffer of its socket holds, as the system counts them
   * @param patienceMillis so long a sender waits, in milliseconds
   */
  public final void pace(long maxPackets, long maxBytes, long maxLoad, long patienceMillis) {
    writing.lock();
    try {
      window = new SendWindow(sent, maxPackets, maxBytes, maxLoad, patienceMillis, listener::unreadLoad);
    } finally {
      writing.unlock();
    }
  }

  /**
   * The server has read so many packets, for it has answered a question that was asked when so many had been sent.
   *
   * @param count what {@link #sent} returned then
   */
  public final void wasRead(long count) {
    SendWindow w = window;
    if (w != null) {
      w.read(count);
    }
  }

  /** {@return how many packets are not known to have been read by the server; 0 where nobody counts} */
  public final long unread() {
    SendWindow w = window;
    return w == null ? 0 : w.unread();
  }

  /** {@return how often a sender had to wait for the server} */
  public final long waits() {
    SendWindow w = window;
    return w == null ? 0 : w.waits();
  }

  /** {@return for how many nanoseconds senders had to wait for the server in all} */
  public final long waitedNanos() {
    SendWindow w = window;
    return w == null ? 0 : w.waitedNanos();
  }

  /** Puts one packet on the wire; {@code bytes} has {@link OscCodec#HEADROOM} free bytes before it. */
  abstract void transmit(byte[] bytes, int offset, int length) throws IOException;

  /** Reads packets and calls {@link #arrived} with each until the line ends; throws why it ended. */
  abstract void readAll() throws IOException;

  /** Makes that {@link #closeSocket} resets a connection. */
  abstract void prepareAbort();

  /** Closes the socket, which ends {@link #readAll}. */
  abstract void closeSocket() throws IOException;

  /** {@return the size of the receive buffer in bytes, which may be less than the 4 MiB that the system was asked for} */
  public abstract int receiveBufferBytes();

  /** {@return the port of this end} */
  public abstract int localPort();

  final void startReader(String name) {
    Thread thread = new Thread(this::read, "espalier-" + name + "-" + remote.getPort());
    thread.setDaemon(true);
    thread.start();
  }

  private void read() {
    Exception cause = null;
    try {
      readAll();
    } catch (Throwable e) {
      cause = closed ? null : e instanceof Exception x ? x : new IOException("The reader failed: " + e, e);
    } finally {
      abort();
      Exception why = cause;
      tell(() -> listener.onClosed(why));
    }
  }

  /**
   * Lets a thread that waits for a packet read packets itself, where the line allows it and the reader thread has given
   * way: what a server answers within microseconds then costs no hand-over between threads. Returns when {@code done},
   * or after two milliseconds, or at once; the caller waits on as if it had not been called.
   *
   * @param done whether what is waited for has come; cheap, and asked after each packet
   */
  public void assist(BooleanSupplier done) {}

  final boolean isIdle() {
    SendWindow w = window;
    if (w != null && w.isWaiting()) {
      return false;
    }
    try {
      return listener.isIdle();
    } catch (Throwable fault) {
      faults.incrementAndGet();
      return false;
    }
  }

  final void arrived(byte[] bytes, int offset, int length) {
    received.incrementAndGet();
    receivedBytes.addAndGet(length);
    OscPacket packet;
    try {
      packet = reader.decode(bytes, offset, length);
    } catch (BadPacketException why) {
      malformed.incrementAndGet();
      byte[] copy = Arrays.copyOfRange(bytes, offset, offset + length);
      tell(() -> listener.onMalformed(copy, why));
      return;
    }
    arriving = Thread.currentThread();
    try {
      listener.onPacket(packet);
    } catch (Throwable fault) {
      faults.incrementAndGet();
    } finally {
      arriving = null;
    }
  }

  final void unreachable() {
    tell(listener::onUnreachable);
  }

  private void tellSend(OscPacket packet) {
    try {
      listener.onSend(packet);
    } catch (Throwable fault) {
      faults.incrementAndGet();
    }
  }

  private void tell(Runnable call) {
    try {
      call.run();
    } catch (Throwable fault) {
      faults.incrementAndGet();
    }
  }

  /**
   * Sends a packet; waits where {@link #pace} wants it.
   *
   * @param packet a message or bundle
   * @throws PacketTooLargeException beyond what this link sends at once; nothing was sent
   * @throws IllegalArgumentException for an address or string that OSC cannot hold; nothing was sent
   * @throws ServerBehindException where the server has no room for it in time; nothing was sent
   * @throws IOException where the link is closed or broken
   */
  public final void send(OscPacket packet) throws IOException {
    send(packet, window);
  }

  /**
   * Sends a packet without waiting for anything, one that is to end the server, for example.
   *
   * @param packet a message or bundle
   * @throws IOException as {@link #send} does, but for lack of room
   */
  public final void sendAtOnce(OscPacket packet) throws IOException {
    send(packet, null);
  }

  private void send(OscPacket packet, SendWindow w) throws IOException {
    SendWindow.Wait wait = null;
    while (true) {
      writing.lock();
      try {
        ByteBuffer bytes = writer.encode(packet);
        if (isFree(bytes.limit(), w, wait)) {
          tellSend(packet);
          write(bytes.array(), bytes.arrayOffset(), bytes.limit());
          return;
        }
      } finally {
        writing.unlock();
      }
      wait = w.sleep(wait);
    }
  }

  /**
   * Sends the bytes of a packet that was encoded elsewhere; waits where {@link #pace} wants it.
   *
   * @param packet from its position to its limit; its position does not move
   * @throws ServerBehindException where the server has no room for it in time; nothing was sent
   * @throws IOException where the link is closed or broken
   */
  public final void sendBytes(ByteBuffer packet) throws IOException {
    int length = packet.remaining();
    byte[] bytes = new byte[OscCodec.HEADROOM + length];
    packet.duplicate().get(bytes, OscCodec.HEADROOM, length);
    SendWindow w = window;
    SendWindow.Wait wait = null;
    while (true) {
      writing.lock();
      try {
        if (isFree(length, w, wait)) {
          write(bytes, OscCodec.HEADROOM, length);
          return;
        }
      } finally {
        writing.unlock();
      }
      wait = w.sleep(wait);
    }
  }

  /** Whether a packet may go out now; where it may, or where the link is closed, a wait is over. */
  private boolean isFree(int length, SendWindow w, SendWindow.Wait wait) throws IOException {
    boolean over = true;
    try {
      checkOpen();
      // Who hands on what arrives cannot wait for an answer.
      boolean free = w == null || w.has(length) || arriving == Thread.currentThread() || w.makesRoom(length);
      if (!free && w.isEchoWanted()) {
        ask(w);
      }
      over = free;
      return free;
    } finally {
      if (over && wait != null) {
        w.over(wait);
      }
    }
  }

  private void checkOpen() throws IOException {
    if (closed) {
      throw new IOException("The link to " + remote + " is closed");
    }
  }

  private void write(byte[] bytes, int offset, int length) throws IOException {
    put(bytes, offset, length);
    SendWindow w = window;
    if (w != null && w.isEchoDue()) {
      ask(w);
    }
  }

  private void put(byte[] bytes, int offset, int length) throws IOException {
    transmit(bytes, offset, length);
    sent++;
    sentBytes += length;
    SendWindow w = window;
    if (w != null) {
      w.add(length);
    }
  }

  /** Asks the server for a sign that it has read all that was sent so far. */
  private void ask(SendWindow w) throws IOException {
    OscPacket echo;
    w.asking();
    try {
      echo = listener.echo();
    } catch (Throwable fault) {
      faults.incrementAndGet();
      return;
    }
    ByteBuffer bytes = asker.encode(echo);
    tellSend(echo);
    put(bytes.array(), bytes.arrayOffset(), bytes.limit());
  }

  /** {@return where the other end is} */
  public final InetSocketAddress remote() {
    return remote;
  }

  /** {@return whether packets can be sent} */
  public final boolean isOpen() {
    return !closed;
  }

  /** {@return how many packets were sent so far} */
  public final long sent() {
    return sent;
  }

  /** {@return how many bytes these had} */
  public final long sentBytes() {
    return sentBytes;
  }

  /** {@return how many packets arrived so far, malformed ones included} */
  public final long received() {
    return received.get();
  }

  /** {@return how many bytes these had} */
  public final long receivedBytes() {
    return receivedBytes.get();
  }

  /** {@return how many of those that arrived were no OSC packet} */
  public final long malformed() {
    return malformed.get();
  }

  /** {@return how often the listener threw} */
  public final long listenerFaults() {
    return faults.get();
  }

  /** Closes the line; harmless when it is closed already. {@link LinkListener#onClosed} follows. */
  @Override
  public final void close() {
    closed = true;
    try {
      closeSocket();
    } catch (IOException e) {
      // The socket is gone, which is what was wanted.
    }
  }

  /**
   * Closes the line to a server that has ended, harmless like {@link #close}: by TCP, whoever closes first keeps the port
   * busy for a minute, which would bar the server's successor, so the connection is reset.
   */
  public final void abort() {
    prepareAbort();
    close();
  }

  /** One line: kind, address, open or closed, counts. */
  @Override
  public final String toString() {
    return String.format(
        "%s %s:%d %s, %d sent, %d received%s",
        getClass().getSimpleName(),
        remote.getHostString(),
        remote.getPort(),
        closed ? "closed" : "open",
        sent(),
        received(),
        malformed() == 0 ? "" : ", " + malformed() + " malformed");
  }
}
