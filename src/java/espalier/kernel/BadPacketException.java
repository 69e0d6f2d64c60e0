package espalier.kernel;

/** Bytes that are no OSC packet. */
public final class BadPacketException extends Exception {

  private static final long serialVersionUID = 1L;

  BadPacketException(String message, Throwable cause) {
    super(message, cause);
  }
}
