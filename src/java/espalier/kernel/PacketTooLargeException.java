package espalier.kernel;

/** A packet that does not fit what may be sent at once. Nothing was sent. */
public final class PacketTooLargeException extends IllegalArgumentException {

  private static final long serialVersionUID = 1L;

  /** The largest packet, in bytes. */
  private final int limit;

  PacketTooLargeException(int limit) {
    super("The packet is larger than the " + limit + " bytes that this link sends at once");
    this.limit = limit;
  }

  /** {@return the largest packet that would have been sent, in bytes} */
  public int limit() {
    return limit;
  }
}
