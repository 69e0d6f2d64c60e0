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
import java.util.Arrays;
import java.util.List;

/**
 * Packets to bytes and back. What is sent takes a direct path, which writes what JavaOSC would: three times as fast for
 * short messages, five times for bundles, and fifty for the long runs of floats that buffers send and receive. JavaOSC,
 * with argument handlers of our own, does the rest. No I/O.
 *
 * <p>Not safe under threads: the output buffer and JavaOSC's caches are reused. One codec per thread or per lock.
 */
public final class OscCodec {

  /** Free bytes before an encoded packet, for the length that TCP wants. */
  static final int HEADROOM = 4;

  /** From this many floats at the end of a message on, the direct path is taken. */
  private static final int FLOAT_RUN = 16;

  /** How deep bundles may nest in what is received; no server sends any. */
  private static final int MAX_DEPTH = 64;

  private static final byte[] BUNDLE = "#bundle\0".getBytes(StandardCharsets.US_ASCII);

  /** Longer strings are not looked up among those that came before. */
  private static final int MAX_WORD = 32;

  /** A string that came, with its padded bytes. */
  private record Word(byte[] bytes, String text) {}

  private int limit;
  private final Word[] words = new Word[256];
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
    serializer = null;
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
    try {
      if (put(buffer.clear(), packet)) {
        return buffer.flip();
      }
    } catch (BufferOverflowException tooSmall) {
      reserve(packet);
      if (put(buffer.clear(), packet)) {
        return buffer.flip();
      }
    }
    return encodeByJavaOsc(packet);
  }

  /** The same bytes, made by JavaOSC, which can write more kinds of arguments. */
  ByteBuffer encodeByJavaOsc(OscPacket packet) {
    reserve(packet);
    if (serializer == null) {
      serializer = OscArguments.builder().buildSerializer(new BufferBytesReceiver(buffer));
    }
    try {
      serializer.write(toJavaOsc(packet));
      return buffer.flip();
    } catch (OSCSerializeException e) {
      throw new IllegalArgumentException(e.getMessage(), e);
    }
  }

  private void reserve(OscPacket packet) {
    int size = sizeOf(packet);
    if (size > limit) {
      throw new PacketTooLargeException(limit);
    }
    if (size > buffer.capacity()) {
      resize((int) Math.max(size, Math.min(limit, buffer.capacity() * 4L)));
    }
  }

  /** The bytes of a packet of any size, in an array of its own. */
  static byte[] toBytes(OscPacket packet) {
    ByteBuffer out = ByteBuffer.allocate(sizeOf(packet));
    return put(out, packet) ? out.array() : toBytesByJavaOsc(packet);
  }

  private static byte[] toBytesByJavaOsc(OscPacket packet) {
    ByteBuffer encoded = new OscCodec(sizeOf(packet)).encodeByJavaOsc(packet);
    byte[] bytes = new byte[encoded.remaining()];
    encoded.get(bytes);
    return bytes;
  }

  /**
   * How many bytes {@link #encode} makes of a packet, found without making them.
   *
   * @param packet a message or bundle
   * @return its size; {@link Integer#MAX_VALUE} for any that is larger
   */
  public static int sizeOf(OscPacket packet) {
    return (int) Math.min(Integer.MAX_VALUE, size(packet));
  }

  private static long size(OscPacket packet) {
    if (packet instanceof OscMessage message) {
      Object[] values = message.values();
      int floats = message.floatTail().length;
      return OscArguments.sizeOfString(message.address())
          + OscArguments.padded(1L + OscArguments.countTags(values) + floats)
          + OscArguments.sizeOf(values)
          + 4L * floats;
    }
    long size = BUNDLE.length + Long.BYTES;
    for (OscPacket element : ((OscBundle) packet).packets()) {
      size += Integer.BYTES + size(element);
    }
    return size;
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

  /** Writes a packet; false, and half of it written, where it holds an argument that is left to JavaOSC. */
  private static boolean put(ByteBuffer out, OscPacket packet) {
    return packet instanceof OscMessage message ? putMessage(out, message) : putBundle(out, (OscBundle) packet);
  }

  private static boolean putBundle(ByteBuffer out, OscBundle bundle) {
    out.put(BUNDLE).putLong(bundle.timeTag());
    for (OscPacket element : bundle.packets()) {
      int start = out.position() + Integer.BYTES;
      if (!put(out.putInt(0), element)) {
        return false;
      }
      out.putInt(start - Integer.BYTES, out.position() - start);
    }
    return true;
  }

  private static boolean putMessage(ByteBuffer out, OscMessage message) {
    Object[] values = message.values();
    float[] tail = message.floatTail();
    if (!isPlain(message.address()) && !OSCMessage.isValidAddress(message.address())) {
      throw new IllegalArgumentException("Not a valid OSC address: " + message.address());
    }
    OscArguments.putString(out, message.address());
    int tags = out.position();
    if (!OscArguments.putTags(out.put((byte) ','), values)) {
      return false;
    }
    for (int i = 0; i < tail.length; i++) {
      out.put((byte) 'f');
    }
    OscArguments.pad(out, out.position() - tags);
    OscArguments.putValues(out, values);
    if (tail.length > 0) {
      out.asFloatBuffer().put(tail);
      out.position(out.position() + 4 * tail.length);
    }
    return true;
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
    int run = 0;
    while (in.get(tagsEnd - 1 - run) == 'f') {
      run++;
    }
    Object[] flat = run < FLOAT_RUN ? flat(in, tags, tagsEnd) : null;
    if (flat != null) {
      return OscMessage.received(address, flat);
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

  /** The arguments of a message of integers, floats and strings alone; null for any other. */
  private Object[] flat(ByteBuffer in, int tags, int tagsEnd) {
    byte[] bytes = in.array();
    int base = in.arrayOffset();
    if (in.get(tags) != ',') {
      return null;
    }
    for (int i = base + tags + 1; i < base + tagsEnd; i++) {
      byte tag = bytes[i];
      if (tag != 'i' && tag != 'f' && tag != 's') {
        return null;
      }
    }
    Object[] values = new Object[tagsEnd - tags - 1];
    int at = (tagsEnd + 4) & ~3;
    for (int i = 0; i < values.length; i++) {
      byte tag = bytes[base + tags + 1 + i];
      if (tag == 's') {
        int from = at;
        int hash = 0;
        int quad;
        do {
          quad = in.getInt(at);
          hash = 31 * hash + quad;
          at += 4;
        } while (!hasNul(quad));
        values[i] = word(in, from, at, hash);
      } else {
        values[i] = tag == 'i' ? (Object) in.getInt(at) : (Object) in.getFloat(at);
        at += 4;
      }
    }
    return values;
  }

  /** Whether one of the four bytes is zero. */
  private static boolean hasNul(int quad) {
    return (quad - 0x01010101 & ~quad & 0x80808080) != 0;
  }

  /** The string in these padded bytes; a short one that came before is mostly the same: trees repeat their names. */
  private String word(ByteBuffer in, int from, int to, int hash) {
    if (to - from > MAX_WORD) {
      return text(in, from, indexOfNul(in, to - 4));
    }
    int start = in.arrayOffset() + from;
    int end = in.arrayOffset() + to;
    int slot = (hash * 0x9E3779B9) >>> 24;
    Word known = words[slot];
    if (known == null || !Arrays.equals(known.bytes, 0, known.bytes.length, in.array(), start, end)) {
      words[slot] = known = new Word(Arrays.copyOfRange(in.array(), start, end), text(in, from, indexOfNul(in, to - 4)));
    }
    return known.text;
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
    byte[] bytes = in.array();
    int base = in.arrayOffset();
    for (int i = from; i < in.limit(); i++) {
      if (bytes[base + i] == 0) {
        return i;
      }
    }
    throw new IndexOutOfBoundsException("No end of the string at " + from);
  }

  private static String text(ByteBuffer in, int from, int to) {
    return new String(in.array(), in.arrayOffset() + from, to - from, StandardCharsets.UTF_8);
  }
}
