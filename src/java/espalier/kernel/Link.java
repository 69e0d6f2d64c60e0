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
  private long sent;
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
    try {
      return listener.isIdle();
    } catch (Throwable fault) {
      faults.incrementAndGet();
      return false;
    }
  }

  final void arrived(byte[] bytes, int offset, int length) {
    received.incrementAndGet();
    OscPacket packet;
    try {
      packet = reader.decode(bytes, offset, length);
    } catch (BadPacketException why) {
      malformed.incrementAndGet();
      byte[] copy = Arrays.copyOfRange(bytes, offset, offset + length);
      tell(() -> listener.onMalformed(copy, why));
      return;
    }
    try {
      listener.onPacket(packet);
    } catch (Throwable fault) {
      faults.incrementAndGet();
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
   * Sends a packet.
   *
   * @param packet a message or bundle
   * @throws PacketTooLargeException beyond what this link sends at once; nothing was sent
   * @throws IllegalArgumentException for an address or string that OSC cannot hold; nothing was sent
   * @throws IOException where the link is closed or broken
   */
  public final void send(OscPacket packet) throws IOException {
    writing.lock();
    try {
      ByteBuffer bytes = writer.encode(packet);
      checkOpen();
      tellSend(packet);
      write(bytes.array(), bytes.arrayOffset(), bytes.limit());
    } finally {
      writing.unlock();
    }
  }

  /**
   * Sends the bytes of a packet that was encoded elsewhere.
   *
   * @param packet from its position to its limit; its position does not move
   * @throws IOException where the link is closed or broken
   */
  public final void sendBytes(ByteBuffer packet) throws IOException {
    byte[] bytes = new byte[OscCodec.HEADROOM + packet.remaining()];
    packet.duplicate().get(bytes, OscCodec.HEADROOM, packet.remaining());
    writing.lock();
    try {
      write(bytes, OscCodec.HEADROOM, packet.remaining());
    } finally {
      writing.unlock();
    }
  }

  private void checkOpen() throws IOException {
    if (closed) {
      throw new IOException("The link to " + remote + " is closed");
    }
  }

  private void write(byte[] bytes, int offset, int length) throws IOException {
    checkOpen();
    transmit(bytes, offset, length);
    sent++;
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
    writing.lock();
    try {
      return sent;
    } finally {
      writing.unlock();
    }
  }

  /** {@return how many packets arrived so far, malformed ones included} */
  public final long received() {
    return received.get();
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
