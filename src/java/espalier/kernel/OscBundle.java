package espalier.kernel;

import java.util.List;

/**
 * Packets that take effect together at one time. An immutable value.
 *
 * <p>scsynth 3.13 executes garbage when a bundle holds messages beside a nested bundle, and ignores the outer time tag
 * of nested bundles: keep bundles flat.
 *
 * @param timeTag when, as 64-bit NTP time ({@link TimeTag}); {@link TimeTag#IMMEDIATE} is now
 * @param packets what, in order; copied
 */
public record OscBundle(long timeTag, List<OscPacket> packets) implements OscPacket {

  public OscBundle {
    packets = List.copyOf(packets);
  }

  /**
   * A bundle for now.
   *
   * @param packets what, in order; copied
   */
  public OscBundle(List<OscPacket> packets) {
    this(TimeTag.IMMEDIATE, packets);
  }

  @Override
  public String toString() {
    return "#bundle " + (timeTag == TimeTag.IMMEDIATE ? "now" : TimeTag.toInstant(timeTag)) + " " + packets;
  }
}
