package espalier.bench;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.DatagramChannel;
import java.nio.charset.StandardCharsets;

/**
 * A server without audio: it answers what a client asks at once, so that a round trip costs what the client and the system
 * cost, and is the witness of the {@code /n_set}s that arrive: it counts them and compares their numbers.
 *
 * <p>Run by {@code java Responder.java}; prints its port, and ends when its input does. One thread, one receive buffer,
 * replies that are encoded beforehand.
 */
public final class Responder {

  private static final int RECEIVE_BUFFER_BYTES = 4 << 20;

  private static final long N_SET = address("/n_set");
  private static final long SYNC = address("/sync");
  private static final long STATUS = address("/status");
  private static final long VERSION = address("/version");
  private static final long NOTIFY = address("/notify");
  private static final long N_QUERY = address("/n_query");
  private static final long SEEN = address("/seen");
  private static final long C_GET = address("/c_get");

  /** Where the first argument of {@code /sync i} and of {@code /n_set isfsf} is. */
  private static final int SYNC_ID = 12;

  private static final int NODE_ID = 16;

  /** An echo asks for nine buses: where their numbers are in the question, and in the answer. */
  private static final int BUSES = 9;

  private static final int BUSES_ASKED = 20;
  private static final int BUSES_TOLD = 28;

  private final DatagramChannel channel;
  private final ByteBuffer in = ByteBuffer.allocateDirect(1 << 16);
  private final ByteBuffer synced = message("/synced", ",i", 0);
  private final ByteBuffer status = message("/status.reply", ",iiiiiffff", 1, 0, 0, 2, 0, 0f, 0f, 44100f, 44100f);
  private final ByteBuffer version = message("/version.reply", ",siisss", "scsynth", 3, 13, ".0", "", "");
  private final ByteBuffer loggedIn = message("/done", ",sii", "/notify", 0, 1);
  private final ByteBuffer node = message("/n_info", ",iiiiiii", 1, 0, -1, -1, 1, -1, -1);
  private final ByteBuffer buses =
      message("/c_set", "," + "if".repeat(BUSES), 0, 0f, 0, 0f, 0, 0f, 0, 0f, 0, 0f, 0, 0f, 0, 0f, 0, 0f, 0, 0f);
  private final ByteBuffer seen = message("/seen.reply", ",ii", 0, 0);

  private int count;
  private int disorders;
  private int next;

  private Responder(DatagramChannel channel) {
    this.channel = channel;
  }

  /** The first eight bytes of a message with this address, as a number. */
  private static long address(String address) {
    return ByteBuffer.wrap(padded(address)).getLong();
  }

  private static byte[] padded(String text) {
    byte[] ascii = text.getBytes(StandardCharsets.US_ASCII);
    return java.util.Arrays.copyOf(ascii, ascii.length + 4 & ~3);
  }

  private static ByteBuffer message(String address, String tags, Object... arguments) {
    ByteBuffer out = ByteBuffer.allocateDirect(256).put(padded(address)).put(padded(tags));
    for (Object argument : arguments) {
      if (argument instanceof Integer i) {
        out.putInt(i);
      } else if (argument instanceof Float f) {
        out.putFloat(f);
      } else {
        out.put(padded((String) argument));
      }
    }
    return out.flip();
  }

  private void serve() throws IOException {
    while (true) {
      in.clear();
      SocketAddress client = channel.receive(in);
      long address = in.getLong(0);
      if (address == N_SET) {
        int number = in.getInt(NODE_ID);
        disorders += number == next ? 0 : 1;
        next = number + 1;
        count++;
      } else {
        ByteBuffer reply = reply(address);
        if (reply != null) {
          channel.send(reply.rewind(), client);
        }
      }
    }
  }

  private ByteBuffer reply(long address) {
    if (address == SYNC) {
      return synced.putInt(SYNC_ID, in.getInt(SYNC_ID));
    } else if (address == C_GET && in.position() == BUSES_ASKED + 4 * BUSES) {
      for (int i = 0; i < BUSES; i++) {
        buses.putInt(BUSES_TOLD + 8 * i, in.getInt(BUSES_ASKED + 4 * i));
      }
      return buses;
    } else if (address == SEEN) {
      seen.putInt(seen.limit() - 8, count).putInt(seen.limit() - 4, disorders);
      count = disorders = next = 0;
      return seen;
    } else if (address == STATUS) {
      return status;
    } else if (address == VERSION) {
      return version;
    } else if (address == NOTIFY) {
      return loggedIn;
    }
    return address == N_QUERY ? node : null;
  }

  private static void endWithInput() {
    try {
      while (System.in.read() >= 0) {
        // Nothing is said here but the end.
      }
    } catch (IOException e) {
      // As good as the end.
    }
    Runtime.getRuntime().halt(0);
  }

  /** Serves on a free port of 127.0.0.1. */
  public static void main(String[] args) throws IOException {
    DatagramChannel channel =
        DatagramChannel.open()
            .setOption(StandardSocketOptions.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            .bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
    Thread input = new Thread(Responder::endWithInput, "input");
    input.setDaemon(true);
    input.start();
    System.out.println(((InetSocketAddress) channel.getLocalAddress()).getPort());
    new Responder(channel).serve();
  }
}
