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
import java.util.Map;

/**
 * How JavaOSC reads and writes each argument, in place of its own handlers: those send tags that kill scsynth, lose
 * what follows a blob, read strings in the platform's charset, and need java.desktop.
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
