package espalier.kernel;

import com.illposed.osc.BufferBytesReceiver;
import com.illposed.osc.BytesReceiver;
import com.illposed.osc.OSCParseException;
import com.illposed.osc.OSCParser;
import com.illposed.osc.OSCSerializeException;
import com.illposed.osc.OSCSerializerAndParserBuilder;
import com.illposed.osc.argument.ArgumentHandler;
import com.illposed.osc.argument.OSCTimeTag64;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;

/**
 * The bytes of arguments, and how JavaOSC reads and writes each, in place of its own handlers: those send tags that kill
 * scsynth, lose what follows a blob, read strings in the platform's charset, and need java.desktop.
 */
final class OscArguments {

  private OscArguments() {}

  /** A JavaOSC builder that knows i f s b t to write, and d h besides to read. */
  static OSCSerializerAndParserBuilder builder() {
    return new OSCSerializerAndParserBuilder()
        .setUsingDefaultHandlers(false)
        .registerArgumentHandler(new Ints())
        .registerArgumentHandler(new Floats())
        .registerArgumentHandler(new Strings())
        .registerArgumentHandler(new Blobs())
        .registerArgumentHandler(new TimeTags())
        .registerArgumentHandler(new Doubles())
        .registerArgumentHandler(new Longs());
  }

  static ByteBuffer bytes(BytesReceiver output) {
    return ((BufferBytesReceiver) output).getBuffer();
  }

  /** The tag of an argument that is written directly, 0 for any other and for lists. */
  private static char tag(Object value) {
    return value instanceof Integer ? 'i'
        : value instanceof Float ? 'f'
        : value instanceof String ? 's'
        : value instanceof byte[] ? 'b'
        : 0;
  }

  /** Writes the tag of each argument, lists as {@code [ ]}; false, and half of it written, where one has none. */
  static boolean putTags(ByteBuffer out, Object[] values) {
    for (Object value : values) {
      char tag = tag(value);
      if (tag != 0) {
        out.put((byte) tag);
      } else if (value instanceof List<?> list && putTags(out.put((byte) '['), list.toArray())) {
        out.put((byte) ']');
      } else {
        return false;
      }
    }
    return true;
  }

  /** Writes arguments that have tags. */
  static void putValues(ByteBuffer out, Object[] values) {
    for (Object value : values) {
      if (value instanceof Integer i) {
        out.putInt(i);
      } else if (value instanceof Float f) {
        out.putFloat(f);
      } else if (value instanceof String s) {
        putString(out, s);
      } else if (value instanceof byte[] blob) {
        putBlob(out, blob);
      } else {
        putValues(out, ((List<?>) value).toArray());
      }
    }
  }

  /** How many tags the arguments have, brackets included. */
  static long countTags(Object[] values) {
    long count = values.length;
    for (Object value : values) {
      if (tag(value) == 0 && value instanceof List<?> list) {
        count += 1 + countTags(list.toArray());
      }
    }
    return count;
  }

  /** How many bytes the arguments have, without their tags. */
  static long sizeOf(Object[] values) {
    long size = 0;
    for (Object value : values) {
      if (value instanceof Integer || value instanceof Float) {
        size += 4;
      } else if (value instanceof String s) {
        size += sizeOfString(s);
      } else if (value instanceof byte[] blob) {
        size += 4L + blob.length + (-blob.length & 3);
      } else if (value instanceof List<?> list) {
        size += sizeOf(list.toArray());
      } else {
        size += 8;
      }
    }
    return size;
  }

  /** How many bytes a string has, its NUL and padding included. */
  static long sizeOfString(String value) {
    long utf8 = value.length();
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      if (c >= 0x800 && !Character.isSurrogate(c)) {
        utf8 += 2;
      } else if (c >= 0x80 && !Character.isSurrogate(c)) {
        utf8++;
      } else if (Character.isHighSurrogate(c)
          && i + 1 < value.length()
          && Character.isLowSurrogate(value.charAt(i + 1))) {
        // A pair has four bytes; a surrogate on its own is written as a question mark.
        utf8 += 2;
        i++;
      }
    }
    return padded(utf8);
  }

  /** How many bytes {@code length} of them are with one to four NULs after them. */
  static long padded(long length) {
    return (length + 4) & ~3L;
  }

  /** Writes a string with its NUL and padding. */
  static void putString(ByteBuffer out, String value) {
    if (value.indexOf('\0') >= 0) {
      throw new IllegalArgumentException("A string with a NUL in it: \"" + value.replace("\0", "\\0") + "\"");
    }
    byte[] utf8 = value.getBytes(StandardCharsets.UTF_8);
    out.put(utf8);
    pad(out, utf8.length);
  }

  /** Ends a string of {@code length} bytes: one to four NULs. */
  static void pad(ByteBuffer out, int length) {
    for (int n = 4 - length % 4; n > 0; n--) {
      out.put((byte) 0);
    }
  }

  /** Writes a blob with its length and padding. */
  static void putBlob(ByteBuffer out, byte[] value) {
    out.putInt(value.length).put(value);
    for (int pad = -value.length & 3; pad > 0; pad--) {
      out.put((byte) 0);
    }
  }

  private abstract static class Handler<T> implements ArgumentHandler<T> {
    private final char tag;
    private final Class<T> type;

    Handler(char tag, Class<T> type) {
      this.tag = tag;
      this.type = type;
    }

    @Override
    public char getDefaultIdentifier() {
      return tag;
    }

    @Override
    public Class<T> getJavaClass() {
      return type;
    }

    @Override
    public void setProperties(Map<String, Object> properties) {}

    @Override
    public boolean isMarkerOnly() {
      return false;
    }

    /** The handlers have no state: one serves every serializer and parser. */
    @Override
    public ArgumentHandler<T> clone() {
      return this;
    }

    @Override
    public void serialize(BytesReceiver output, T value) throws OSCSerializeException {
      throw new OSCSerializeException("An argument with tag '" + tag + "' is read, never written");
    }
  }

  private static final class Ints extends Handler<Integer> {
    Ints() {
      super('i', Integer.class);
    }

    @Override
    public Integer parse(ByteBuffer in) {
      return in.getInt();
    }

    @Override
    public void serialize(BytesReceiver out, Integer value) {
      bytes(out).putInt(value);
    }
  }

  private static final class Floats extends Handler<Float> {
    Floats() {
      super('f', Float.class);
    }

    @Override
    public Float parse(ByteBuffer in) {
      return in.getFloat();
    }

    @Override
    public void serialize(BytesReceiver out, Float value) {
      bytes(out).putFloat(value);
    }
  }

  /** UTF-8 both ways; what is no UTF-8 is read with replacement characters, for a bad byte must not cost a message. */
  private static final class Strings extends Handler<String> {
    Strings() {
      super('s', String.class);
    }

    @Override
    public String parse(ByteBuffer in) {
      int start = in.position();
      int end = start;
      while (in.get(end) != 0) {
        end++;
      }
      byte[] utf8 = new byte[end - start];
      in.get(utf8).get();
      OSCParser.align(in);
      return new String(utf8, StandardCharsets.UTF_8);
    }

    @Override
    public void serialize(BytesReceiver out, String value) {
      putString(bytes(out), value);
    }
  }

  private static final class Blobs extends Handler<byte[]> {
    Blobs() {
      super('b', byte[].class);
    }

    @Override
    public byte[] parse(ByteBuffer in) throws OSCParseException {
      int length = in.getInt();
      if (length < 0 || length > in.remaining()) {
        throw new OSCParseException("A blob of " + length + " bytes where " + in.remaining() + " follow", in);
      }
      byte[] blob = new byte[length];
      in.get(blob);
      ((Buffer) in).position(Math.min(in.limit(), in.position() + (-length & 3)));
      return blob;
    }

    @Override
    public void serialize(BytesReceiver out, byte[] value) {
      putBlob(bytes(out), value);
    }
  }

  private static final class TimeTags extends Handler<OSCTimeTag64> {
    TimeTags() {
      super('t', OSCTimeTag64.class);
    }

    @Override
    public OSCTimeTag64 parse(ByteBuffer in) {
      return OSCTimeTag64.valueOf(in.getLong());
    }

    @Override
    public void serialize(BytesReceiver out, OSCTimeTag64 value) {
      bytes(out).putLong(value.getNtpTime());
    }
  }

  private static final class Doubles extends Handler<Double> {
    Doubles() {
      super('d', Double.class);
    }

    @Override
    public Double parse(ByteBuffer in) {
      return in.getDouble();
    }
  }

  private static final class Longs extends Handler<Long> {
    Longs() {
      super('h', Long.class);
    }

    @Override
    public Long parse(ByteBuffer in) {
      return in.getLong();
    }
  }
}
