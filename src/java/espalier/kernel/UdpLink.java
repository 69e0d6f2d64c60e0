package espalier.kernel;

import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetSocketAddress;
import java.net.PortUnreachableException;

/**
 * A link over one connected UDP socket, for both directions: a server knows its clients by their port.
 *
 * <p>A {@link DatagramSocket}, not a channel: an interrupt of a sending thread would close a channel for everybody.
 */
public final class UdpLink extends Link {

  /** The largest UDP packet that IPv4 carries: 65,535 bytes less the headers of IP and UDP. */
  public static final int MAX_PACKET_BYTES = 65_507;

  private final DatagramSocket socket;
  private final DatagramPacket outgoing = new DatagramPacket(new byte[0], 0);

  private UdpLink(DatagramSocket socket, InetSocketAddress remote, LinkListener listener) {
    super(remote, MAX_PACKET_BYTES, listener);
    this.socket = socket;
  }

  /**
   * Opens a socket on a free port and starts its reader. UDP knows no connection: that somebody listens there is not
   * known before he answers.
   *
   * @param remote the server
   * @param listener hears what arrives
   */
  public static UdpLink open(InetSocketAddress remote, LinkListener listener) throws IOException {
    DatagramSocket socket = new DatagramSocket(null);
    try {
      socket.setReceiveBufferSize(RECEIVE_BUFFER_BYTES);
      socket.bind(new InetSocketAddress(0));
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
    byte[] bytes = new byte[1 << 16];
    DatagramPacket incoming = new DatagramPacket(bytes, bytes.length);
    while (true) {
      try {
        incoming.setLength(bytes.length);
        socket.receive(incoming);
        arrived(bytes, 0, incoming.getLength());
      } catch (PortUnreachableException e) {
        unreachable();
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
