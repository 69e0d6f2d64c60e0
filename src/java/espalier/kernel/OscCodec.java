package espalier.kernel;

import com.illposed.osc.BufferBytesReceiver;
import com.illposed.osc.OSCBundle;
import com.illposed.osc.OSCMessage;
import com.illposed.osc.OSCPacket;
import com.illposed.osc.OSCParseException;
import com.illposed.osc.OSCParser;
import com.illposed.osc.OSCSerializeException;
import com.illposed.osc.OSCSerializer;
import com.illposed.osc.argument.OSCTimeTag64;
import java.nio.BufferOverflowException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Packets to bytes and back, by JavaOSC with argument handlers of our own. Flat messages, the most of all traffic, take a
 * direct path: three times as fast for short ones, and fifty times for the long runs of floats that buffers send and
 * receive. No I/O.
 *
 * <p>Not safe under threads: the output buffer and JavaOSC's caches are reused. One codec per thread or per lock.
 */
public final class OscCodec {

  /** Free bytes before an encoded packet, for the length that TCP wants. */
  static final int HEADROOM = 4;

  /** From this many floats at the end of a message on, the direct path is taken. */
  private static final int FLOAT_RUN = 16;

  /** Up to this many arguments a message of integers, floats and strings is read directly. */
  private static final int MAX_FLAT = FLOAT_RUN - 1;

  /** How deep bundles may nest in what is received; no server sends any. */
  private static final int MAX_DEPTH = 64;

  private static final byte[] BUNDLE = "#bundle\0".getBytes(StandardCharsets.US_ASCII);

  private int limit;
  private final OSCParser parser = OscArguments.builder().buildParser();
  private ByteBuffer buffer;
  private OSCSerializer serializer;

  /**
   * A codec.
   *
   * @param limit the largest packet that {@link #encode} will make, in bytes
   */
  public OscCodec(int limit) {
    this.limit = limit;
    resize(Math.min(limit, 2048));
  }

  /**
   * Changes the largest packet that {@link #encode} will make.
   *
   * @param bytes its size
   */
  public void limit(int bytes) {
    limit = bytes;
    resize(Math.min(limit, buffer.capacity()));
  }

  private void resize(int size) {
    buffer = ByteBuffer.wrap(new byte[HEADROOM + size], HEADROOM, size).slice();
    serializer = OscArguments.builder().buildSerializer(new BufferBytesReceiver(buffer));
  }

  /**
   * The bytes of a packet.
   *
   * @param packet what to encode
   * @return a buffer from position 0 to limit, backed by an array and overwritten by the next call; four bytes before it
   *     are free
   * @throws PacketTooLargeException beyond the limit of this codec
   * @throws IllegalArgumentException for an address or string that OSC cannot hold
   */
  public ByteBuffer encode(OscPacket packet) {
    while (true) {
      try {
        buffer.clear();
        if (packet instanceof OscMessage message && message.isFlat()) {
          putFlat(message);
        } else {
          serializer.write(toJavaOsc(packet));
        }
        return buffer.flip();
      } catch (BufferOverflowException tooSmall) {
        grow();
      } catch (OSCSerializeException e) {
        if (!(e.getCause() instanceof BufferOverflowException)) {
          throw new IllegalArgumentException(e.getMessage(), e);
        }
        grow();
      }
    }
  }

  private void grow() {
    int size = buffer.capacity();
    if (size >= limit) {
      throw new PacketTooLargeException(limit);
    }
    resize((int) Math.min(limit, size * 4L));
  }

  private static OSCPacket toJavaOsc(OscPacket packet) {
    if (packet instanceof OscMessage message) {
      return new OSCMessage(message.address(), message.arguments());
    }
    OscBundle bundle = (OscBundle) packet;
    List<OSCPacket> packets = new ArrayList<>(bundle.packets().size());
    for (OscPacket element : bundle.packets()) {
      packets.add(toJavaOsc(element));
    }
    return new OSCBundle(packets, OSCTimeTag64.valueOf(bundle.timeTag()));
  }

  private void putFlat(OscMessage message) {
    Object[] values = message.values();
    float[] tail = message.floatTail();
    if (!isPlain(message.address()) && !OSCMessage.isValidAddress(message.address())) {
      throw new IllegalArgumentException("Not a valid OSC address: " + message.address());
    }
    OscArguments.putString(buffer, message.address());
    buffer.put((byte) ',');
    for (Object o : values) {
      buffer.put((byte) (o instanceof Integer ? 'i' : o instanceof Float ? 'f' : o instanceof String ? 's' : 'b'));
    }
    for (int i = 0; i < tail.length; i++) {
      buffer.put((byte) 'f');
    }
    OscArguments.pad(buffer, 1 + values.length + tail.length);
    for (Object o : values) {
      if (o instanceof Integer i) {
        buffer.putInt(i);
      } else if (o instanceof Float f) {
        buffer.putFloat(f);
      } else if (o instanceof String s) {
        OscArguments.putString(buffer, s);
      } else {
        OscArguments.putBlob(buffer, (byte[]) o);
      }
    }
    if (tail.length > 0) {
      buffer.asFloatBuffer().put(tail);
      buffer.position(buffer.position() + 4 * tail.length);
    }
  }

  /** Whether an address is a slash, then letters, digits, dots and underlines: then it needs no further look. */
  private static boolean isPlain(String address) {
    for (int i = 1; i < address.length(); i++) {
      char c = address.charAt(i);
      if (!(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.')) {
        return false;
      }
    }
    return address.length() > 1 && address.charAt(0) == '/';
  }

  /**
   * The packet in {@code length} bytes of an array, which may be overwritten.
   *
   * <p>Any address is accepted, also one without a slash, as {@code SendReply} can send it.
   *
   * @param bytes where the packet is
   * @param offset where it begins
   * @param length its size in bytes
   * @return the message or bundle
   * @throws BadPacketException where they are no OSC packet, or hold an argument that no server sends
   */
  public OscPacket decode(byte[] bytes, int offset, int length) throws BadPacketException {
    try {
      return decode(ByteBuffer.wrap(bytes, offset, length).slice(), 0);
    } catch (OSCParseException | RuntimeException e) {
      throw new BadPacketException("Not an OSC packet (" + length + " bytes): " + e.getMessage(), e);
    }
  }

  private OscPacket decode(ByteBuffer in, int depth) throws OSCParseException {
    if (depth > MAX_DEPTH) {
      throw new OSCParseException("Bundles nested deeper than " + MAX_DEPTH, in);
    }
    return startsBundle(in) ? decodeBundle(in, depth) : decodeMessage(in);
  }

  private static boolean startsBundle(ByteBuffer in) {
    if (in.remaining() < BUNDLE.length) {
      return false;
    }
    for (int i = 0; i < BUNDLE.length; i++) {
      if (in.get(i) != BUNDLE[i]) {
        return false;
      }
    }
    return true;
  }

  private OscBundle decodeBundle(ByteBuffer in, int depth) throws OSCParseException {
    long timeTag = in.position(BUNDLE.length).getLong();
    List<OscPacket> packets = new ArrayList<>();
    while (in.hasRemaining()) {
      int size = in.getInt();
      packets.add(decode(in.slice(in.position(), size), depth + 1));
      in.position(in.position() + size);
    }
    return new OscBundle(timeTag, packets);
  }

  private OscMessage decodeMessage(ByteBuffer in) throws OSCParseException {
    int nul = indexOfNul(in, 0);
    String address = text(in, 0, nul);
    int tags = (nul + 4) & ~3;
    if (tags >= in.limit()) {
      return OscMessage.received(address, List.of());
    }
    int tagsEnd = indexOfNul(in, tags);
    Object[] flat = flat(in, tags, tagsEnd);
    if (flat != null) {
      return OscMessage.received(address, flat);
    }
    int run = 0;
    while (in.get(tagsEnd - 1 - run) == 'f') {
      run++;
    }
    boolean direct = run >= FLOAT_RUN && in.get(tags) == ',' && !inArray(in, tags, tagsEnd);
    // JavaOSC refuses some addresses that servers do send, so it gets one that it likes.
    in.putInt(tags - 4, '/' << 24 | 'x' << 16);
    if (!direct) {
      return OscMessage.received(address, parse(in, tags - 4));
    }
    // A long run of floats stays primitive.
    float[] tail = new float[run];
    int floats = in.limit() - 4 * run;
    in.slice(floats, 4 * run).asFloatBuffer().get(tail);
    Object[] head = new Object[0];
    if (tagsEnd - tags - 1 > run) {
      head = parseHead(in, tags, tagsEnd - run, (tagsEnd + 4) & ~3, floats).toArray();
    } else if ((tagsEnd + 4 & ~3) != floats) {
      throw new OSCParseException("Bytes beside the " + run + " floats", in);
    }
    return OscMessage.received(address, head, tail);
  }

  /** The arguments of a short message of integers, floats and strings alone; null for any other. */
  private static Object[] flat(ByteBuffer in, int tags, int tagsEnd) {
    int count = tagsEnd - tags - 1;
    if (count > MAX_FLAT || in.get(tags) != ',') {
      return null;
    }
    for (int i = tags + 1; i < tagsEnd; i++) {
      byte tag = in.get(i);
      if (tag != 'i' && tag != 'f' && tag != 's') {
        return null;
      }
    }
    Object[] values = new Object[count];
    int at = (tagsEnd + 4) & ~3;
    for (int i = 0; i < count; i++) {
      byte tag = in.get(tags + 1 + i);
      if (tag == 's') {
        int nul = indexOfNul(in, at);
        values[i] = text(in, at, nul);
        at = (nul + 4) & ~3;
      } else {
        values[i] = tag == 'i' ? (Object) in.getInt(at) : (Object) in.getFloat(at);
        at += 4;
      }
    }
    return values;
  }

  /** The arguments before a run of floats: a message of its own is made of them. */
  private List<Object> parseHead(ByteBuffer in, int tags, int tagsEnd, int values, int valuesEnd)
      throws OSCParseException {
    int length = (tagsEnd - tags + 4) & ~3;
    ByteBuffer message = ByteBuffer.allocate(4 + length + valuesEnd - values);
    message.putInt('/' << 24 | 'x' << 16);
    message.put(in.slice(tags, tagsEnd - tags)).position(4 + length);
    message.put(in.slice(values, valuesEnd - values)).flip();
    return parse(message, 0);
  }

  private List<Object> parse(ByteBuffer in, int from) throws OSCParseException {
    OSCMessage message = (OSCMessage) parser.convert(in.slice(from, in.limit() - from));
    if (message == null) {
      throw new OSCParseException("An argument type that no SuperCollider server sends", in);
    }
    return message.getArguments();
  }

  private static boolean inArray(ByteBuffer in, int from, int to) {
    for (int i = from; i < to; i++) {
      if (in.get(i) == '[') {
        return true;
      }
    }
    return false;
  }

  private static int indexOfNul(ByteBuffer in, int from) {
    int i = from;
    while (in.get(i) != 0) {
      i++;
    }
    return i;
  }

  private static String text(ByteBuffer in, int from, int to) {
    return new String(in.array(), in.arrayOffset() + from, to - from, StandardCharsets.UTF_8);
  }
}
