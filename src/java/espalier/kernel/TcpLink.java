package espalier.kernel;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.ConnectException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.time.Duration;

/** A link over one TCP connection; each packet follows its length as a big-endian int32, as scsynth's {@code -t} wants. */
public final class TcpLink extends Link {

  /** The largest packet that is sent or believed, in bytes: 16 MiB, which scsynth was seen to take. */
  public static final int MAX_PACKET_BYTES = 16 << 20;

  private final Socket socket;

  private TcpLink(Socket socket, InetSocketAddress remote, LinkListener listener) {
    super(remote, MAX_PACKET_BYTES, listener);
    this.socket = socket;
  }

  /**
   * Connects and starts the reader.
   *
   * @param remote the server
   * @param timeout how long connecting may take
   * @param listener hears what arrives
   * @return the link, connected
   * @throws IOException where nobody accepts in time
   */
  public static TcpLink open(InetSocketAddress remote, Duration timeout, LinkListener listener) throws IOException {
    Socket socket = new Socket();
    try {
      socket.setReceiveBufferSize(RECEIVE_BUFFER_BYTES);
      socket.setTcpNoDelay(true);
      socket.connect(remote, Math.max(1, (int) timeout.toMillis()));
      if (socket.getLocalSocketAddress().equals(socket.getRemoteSocketAddress())) {
        // Linux connects a socket to itself where nobody listens on the port that it was given.
        socket.setSoLinger(true, 0);
        throw new ConnectException("Connection refused");
      }
    } catch (IOException | RuntimeException e) {
      socket.close();
      throw e;
    }
    TcpLink link = new TcpLink(socket, remote, listener);
    link.startReader("tcp");
    return link;
  }

  @Override
  void transmit(byte[] bytes, int offset, int length) throws IOException {
    int start = offset - OscCodec.HEADROOM;
    ByteBuffer.wrap(bytes).putInt(start, length);
    socket.getOutputStream().write(bytes, start, OscCodec.HEADROOM + length);
  }

  @Override
  void readAll() throws IOException {
    DataInputStream in = new DataInputStream(new BufferedInputStream(socket.getInputStream(), 1 << 16));
    byte[] bytes = new byte[1 << 16];
    while (true) {
      int length;
      try {
        length = in.readInt();
      } catch (EOFException e) {
        throw new IOException("The server closed the connection", e);
      }
      if (length < 0 || length > MAX_PACKET_BYTES) {
        throw new IOException("A frame of " + length + " bytes was announced: this is no OSC over TCP");
      }
      if (length > bytes.length) {
        bytes = new byte[length];
      }
      in.readFully(bytes, 0, length);
      if (length > 0) {
        arrived(bytes, 0, length);
      }
    }
  }

  @Override
  void prepareAbort() {
    try {
      socket.setSoLinger(true, 0);
    } catch (SocketException closed) {
      // Nothing is left to reset.
    }
  }

  @Override
  void closeSocket() throws IOException {
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
