package espalier.kernel;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;
import java.net.SocketTimeoutException;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * A link over one connected UDP socket, for both directions: a server knows its clients by their port.
 *
 * <p>A {@link DatagramSocket}, not a channel: an interrupt of a sending thread would close a channel for everybody.
 */
public final class UdpLink extends Link {

  /** The largest UDP packet that IPv4 carries: 65,535 bytes less the headers of IP and UDP. */
  public static final int MAX_PACKET_BYTES = 65_507;

  /** How long the reader thread stays away after a caller has asked. */
  private static final long GIVE_WAY_NANOS = 1_000_000;

  /** How long a caller reads for himself. */
  private static final long ASSIST_NANOS = 2_000_000;

  private final DatagramSocket socket;
  private final DatagramPacket outgoing = new DatagramPacket(new byte[0], 0);
  private final byte[] received = new byte[1 << 16];
  private final DatagramPacket incoming = new DatagramPacket(received, received.length);
  private final ReentrantLock reading = new ReentrantLock();
  private volatile Thread reader;
  private volatile long lastAssist = System.nanoTime() - GIVE_WAY_NANOS;

  private UdpLink(DatagramSocket socket, InetSocketAddress remote, LinkListener listener) {
    super(remote, MAX_PACKET_BYTES, listener);
    this.socket = socket;
  }

  /**
   * Opens a socket on a free port and starts its reader. UDP knows no connection: that somebody listens there is not
   * known before he answers. Only the server's packets are let in, and to a server of this machine the socket is
   * reachable from nowhere else.
   *
   * @param remote the server
   * @param listener hears what arrives
   * @return the link, open
   * @throws IOException where the system has no socket for it
   */
  public static UdpLink open(InetSocketAddress remote, LinkListener listener) throws IOException {
    DatagramSocket socket = new DatagramSocket(null);
    try {
      socket.setReceiveBufferSize(RECEIVE_BUFFER_BYTES);
      InetAddress server = remote.getAddress();
      socket.bind(new InetSocketAddress(server != null && server.isLoopbackAddress() ? server : null, 0));
      socket.connect(remote);
    } catch (IOException | RuntimeException e) {
      socket.close();
      throw e;
    }
    UdpLink link = new UdpLink(socket, remote, listener);
    link.startReader("udp");
    return link;
  }

  @Override
  void transmit(byte[] bytes, int offset, int length) throws IOException {
    outgoing.setData(bytes, offset, length);
    try {
      socket.send(outgoing);
    } catch (PortUnreachableException earlier) {
      // The system reports an earlier packet's fate here and has not sent this one.
      unreachable();
      try {
        socket.send(outgoing);
      } catch (PortUnreachableException again) {
        // Two reports were waiting: as lost as any packet that nobody reads.
      }
    }
  }

  @Override
  void readAll() throws IOException {
    reader = Thread.currentThread();
    while (true) {
      reading.lock();
      try {
        receive(0);
      } finally {
        reading.unlock();
      }
      giveWay();
    }
  }

  /** Waits for one packet, for ever where {@code millis} is 0; false when none came. Called with {@link #reading} held. */
  private boolean receive(int millis) throws IOException {
    try {
      socket.setSoTimeout(millis);
      incoming.setLength(received.length);
      socket.receive(incoming);
      arrived(received, 0, incoming.getLength());
    } catch (PortUnreachableException e) {
      unreachable();
    } catch (SocketTimeoutException e) {
      return false;
    }
    return true;
  }

  /** Stays away from the socket while callers ask in quick succession and none is waiting. */
  private void giveWay() {
    for (long left = lastAssist + GIVE_WAY_NANOS - System.nanoTime();
        left > 0 && isIdle();
        left = lastAssist + GIVE_WAY_NANOS - System.nanoTime()) {
      LockSupport.parkNanos(this, left);
    }
  }

  @Override
  public void assist(BooleanSupplier done) {
    long start = System.nanoTime();
    lastAssist = start;
    if (!reading.tryLock()) {
      return;
    }
    try {
      while (!done.getAsBoolean() && System.nanoTime() - start < ASSIST_NANOS) {
        receive(1);
      }
      lastAssist = System.nanoTime();
    } catch (IOException e) {
      // The reader thread meets the same and reports it.
    } finally {
      reading.unlock();
      if (!isIdle()) {
        LockSupport.unpark(reader);
      }
    }
  }

  @Override
  void prepareAbort() {}

  @Override
  void closeSocket() {
    socket.close();
  }

  @Override
  public int receiveBufferBytes() {
    try {
      return socket.getReceiveBufferSize();
    } catch (IOException closed) {
      return 0;
    }
  }

  @Override
  public int localPort() {
    return Math.max(0, socket.getLocalPort());
  }
}
