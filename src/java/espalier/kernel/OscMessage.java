package espalier.kernel;

import java.util.AbstractList;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.RandomAccess;
import java.util.function.UnaryOperator;

/**
 * An OSC address with its arguments. An immutable value.
 *
 * <p>What is constructed here holds only what every SuperCollider server reads safely: {@link Integer} (tag i),
 * {@link Float} (f), {@link String} (s), {@code byte[]} (b) and flat lists of these ([ ]). Wider numbers are narrowed,
 * for scsynth 3.13 dies of a 64-bit argument. What a server sent may hold a {@link Double} or {@link Long} too.
 */
public final class OscMessage implements OscPacket {

  private static final UnaryOperator<Object> REFUSE =
      value -> {
        throw new IllegalArgumentException(
            value == null
                ? "OSC has no null that SuperCollider's servers would understand"
                : "No OSC argument can be made of " + value + ", a " + value.getClass().getName());
      };

  private static final float[] NO_FLOATS = {};

  private final String address;
  private final List<Object> arguments;

  /** For {@link OscCodec}: takes the list as it is. */
  private OscMessage(List<Object> arguments, String address) {
    this.address = address;
    this.arguments = arguments;
  }

  /**
   * A message to send.
   *
   * @param address begins with {@code /}
   * @param arguments Integer, Long, Short, Byte (int32), Float, Double (float32), String, {@code byte[]} (a blob, copied),
   *     {@code float[]} (as many floats in a row, copied), an OscPacket (a blob of its bytes: a completion message), or a
   *     flat List of these (an array)
   * @throws IllegalArgumentException for anything else, for an integer beyond 32 bits, and for a packet that cannot be
   *     encoded
   */
  public OscMessage(String address, Object... arguments) {
    this(address, Arrays.asList(arguments), REFUSE);
  }

  /**
   * A message to send, with a rule for arguments of other classes.
   *
   * @param address begins with {@code /}
   * @param arguments as above, and whatever {@code coerce} turns into those
   * @param coerce called with each argument (null too) that is none of the above; throws what it likes
   */
  public OscMessage(String address, List<?> arguments, UnaryOperator<Object> coerce) {
    this.address = Objects.requireNonNull(address, "address");
    this.arguments = normalise(arguments, coerce, true);
  }

  static OscMessage received(String address, Object[] arguments) {
    return new OscMessage(Collections.unmodifiableList(Arrays.asList(arguments)), address);
  }

  static OscMessage received(String address, List<Object> arguments) {
    return new OscMessage(Collections.unmodifiableList(arguments), address);
  }

  static OscMessage received(String address, Object[] head, float[] tail) {
    return new OscMessage(new FloatTail(head, tail), address);
  }

  /** The arguments, but for the floats of {@link #floatTail}. */
  Object[] values() {
    return arguments instanceof FloatTail tail ? tail.head : arguments.toArray();
  }

  /** The floats at the end that were kept primitive; often none. */
  float[] floatTail() {
    return arguments instanceof FloatTail tail ? tail.tail : NO_FLOATS;
  }

  private static List<Object> normalise(List<?> values, UnaryOperator<Object> coerce, boolean top) {
    int count = values.size();
    Object[] out = new Object[count];
    int i = 0;
    boolean spread = false;
    for (Object value : values) {
      Object o = argument(value, coerce, top);
      spread |= o instanceof float[];
      out[i++] = o;
    }
    return spread ? spread(out) : Collections.unmodifiableList(Arrays.asList(out));
  }

  private static Object argument(Object value, UnaryOperator<Object> coerce, boolean top) {
    if (value instanceof Long l) {
      return int32(l);
    } else if (value instanceof Double d) {
      return d.floatValue();
    } else if (value instanceof Integer || value instanceof Float || value instanceof String) {
      return value;
    } else if (value instanceof byte[] blob) {
      return blob.clone();
    } else if (value instanceof float[] floats && top) {
      return floats.clone();
    } else if (value instanceof OscPacket packet) {
      return OscCodec.toBytes(packet);
    } else if (value instanceof Short || value instanceof Byte) {
      return ((Number) value).intValue();
    } else if (value instanceof List<?> list) {
      if (!top) {
        throw new IllegalArgumentException("An array inside an array: the servers read only flat ones, not " + list);
      }
      return normalise(list, coerce, false);
    }
    Object coerced = coerce.apply(value);
    return coerced == value ? REFUSE.apply(value) : argument(coerced, coerce, top);
  }

  private static Integer int32(long value) {
    if (value != (int) value) {
      throw new IllegalArgumentException(
          "OSC integers have 32 bits (" + Integer.MIN_VALUE + " to " + Integer.MAX_VALUE + "), not " + value);
    }
    return (int) value;
  }

  /** Puts float arrays in place, each as its floats; one at the very end of a flat message stays primitive. */
  private static List<Object> spread(Object[] values) {
    boolean flat = Arrays.stream(values).noneMatch(value -> value instanceof List);
    int last = flat ? values.length - 1 : -1;
    List<Object> head = new ArrayList<>();
    for (int i = 0; i < values.length; i++) {
      if (!(values[i] instanceof float[] floats)) {
        head.add(values[i]);
      } else if (i == last) {
        return new FloatTail(head.toArray(), floats);
      } else {
        for (float f : floats) {
          head.add(f);
        }
      }
    }
    return Collections.unmodifiableList(head);
  }

  /** {@return the address, {@code /s_new} for example} */
  public String address() {
    return address;
  }

  /**
   * The arguments. A blob is the message's own array: read it only.
   *
   * @return an unmodifiable list
   */
  public List<Object> arguments() {
    return arguments;
  }

  /**
   * The arguments from index {@code from} to the end as one array, which costs no boxing where the server sent, or the
   * caller gave, a long run of floats at the end.
   *
   * @param from the index of the first, 0 or more
   * @return a new array
   * @throws ClassCastException if one of them is not a number
   */
  public float[] floats(int from) {
    if (arguments instanceof FloatTail tail && from >= tail.head.length) {
      return Arrays.copyOfRange(tail.tail, from - tail.head.length, tail.tail.length);
    }
    float[] out = new float[arguments.size() - from];
    for (int i = 0; i < out.length; i++) {
      out[i] = ((Number) arguments.get(from + i)).floatValue();
    }
    return out;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof OscMessage that
        && address.equals(that.address)
        && arguments.size() == that.arguments.size()
        && Arrays.deepEquals(comparable(arguments), comparable(that.arguments));
  }

  /** The arguments with arrays for lists, for {@link Arrays#deepEquals} sees blobs only within arrays. */
  private static Object[] comparable(List<?> values) {
    return values.stream().map(value -> value instanceof List<?> list ? comparable(list) : value).toArray();
  }

  @Override
  public int hashCode() {
    return 31 * address.hashCode() + Arrays.deepHashCode(comparable(arguments));
  }

  /** The address and at most 16 arguments on one line. */
  @Override
  public String toString() {
    StringBuilder line = new StringBuilder(address);
    for (Object argument : arguments.subList(0, Math.min(16, arguments.size()))) {
      line.append(' ').append(argument instanceof byte[] blob ? "<" + blob.length + " bytes>" : argument);
    }
    return arguments.size() > 16 ? line.append(" … (").append(arguments.size()).append(')').toString() : line.toString();
  }

  /** Any values, then a run of floats that stays primitive: buffer contents are boxed only where they are looked at. */
  static final class FloatTail extends AbstractList<Object> implements RandomAccess {
    final Object[] head;
    final float[] tail;

    FloatTail(Object[] head, float[] tail) {
      this.head = head;
      this.tail = tail;
    }

    @Override
    public Object get(int i) {
      return i < head.length ? head[i] : (Object) tail[i - head.length];
    }

    @Override
    public int size() {
      return head.length + tail.length;
    }
  }
}
