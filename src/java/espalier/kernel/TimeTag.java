package espalier.kernel;

import java.time.Instant;

/**
 * 64-bit NTP time as OSC uses it: seconds since 1900-01-01T00:00Z in the high 32 bits, the fraction of a second in the
 * low 32 (OSC 1.0 specification, "OSC Time Tags").
 */
public final class TimeTag {

  /** The time tag that means "now". */
  public static final long IMMEDIATE = 1L;

  /** Seconds from 1900-01-01 to 1970-01-01: 70 years, 17 of them leap years. */
  private static final long EPOCH_OFFSET_SECONDS = 2_208_988_800L;

  private static final long NANOS = 1_000_000_000L;

  private TimeTag() {}

  /**
   * The time tag of an instant, to within a quarter of a nanosecond.
   *
   * @param instant when
   * @return 64-bit NTP time
   * @throws IllegalArgumentException before 1968-01-20T03:14:08Z or from 2036-02-07T06:28:16Z on: scsynth compares time
   *     tags as signed numbers, so that one with the top bit clear would never be executed
   */
  public static long of(Instant instant) {
    long seconds = instant.getEpochSecond() + EPOCH_OFFSET_SECONDS;
    if (seconds < 1L << 31 || seconds >= 1L << 32) {
      throw new IllegalArgumentException(
          "A time tag reaches from 1968-01-20T03:14:08Z to 2036-02-07T06:28:15Z, not to " + instant);
    }
    return seconds << 32 | (((long) instant.getNano() << 32) + NANOS / 2) / NANOS;
  }

  /**
   * The instant of a time tag, rounded to the nearest nanosecond; any 64 bits are accepted.
   *
   * @param timeTag 64-bit NTP time
   * @return when
   */
  public static Instant toInstant(long timeTag) {
    long seconds = (timeTag >>> 32) - EPOCH_OFFSET_SECONDS;
    long nanos = ((timeTag & 0xFFFF_FFFFL) * NANOS + (1L << 31)) >>> 32;
    return Instant.ofEpochSecond(seconds, nanos);
  }
}
