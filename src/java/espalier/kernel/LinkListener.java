package espalier.kernel;

/**
 * Hears what a {@link Link} receives, on the link's reader thread: whoever needs time hands over to a thread of his own.
 * What it throws is counted ({@link Link#listenerFaults()}) and stops nothing.
 */
@FunctionalInterface
public interface LinkListener {

  /**
   * A packet arrived.
   *
   * @param packet a message or bundle
   */
  void onPacket(OscPacket packet);

  /**
   * Whether nobody waits for a packet just now; then the reader thread may give way for a millisecond to a caller who
   * reads for himself, see {@link Link#assist}.
   *
   * @return true where nobody waits
   */
  default boolean isIdle() {
    return false;
  }

  /**
   * Bytes arrived that are no packet; they are counted and otherwise ignored.
   *
   * @param bytes a copy of them
   * @param why what is wrong with them
   */
  default void onMalformed(byte[] bytes, BadPacketException why) {}

  /** UDP: the other machine says that nobody listens on that port. The link stays open. */
  default void onUnreachable() {}

  /**
   * The link is closed: called once, last.
   *
   * @param cause why, or {@code null} after {@link Link#close()}
   */
  default void onClosed(Exception cause) {}

  /**
   * A packet goes out next: called in the order of sending, on the thread that sends, which waits. So it is heard of before
   * any answer to it is. Where the line breaks in that moment it has not gone out. {@link Link#sendBytes} is not told.
   *
   * @param packet what is sent
   */
  default void onSend(OscPacket packet) {}

  /**
   * Returns a question that every server answers and whose answer nobody can mistake: whoever hears it calls
   * {@link Link#wasRead}. Asked of a link that is {@link Link#pace paced}, on the thread that sends.
   *
   * @return a short message
   */
  default OscPacket echo() {
    throw new UnsupportedOperationException("A link that is paced needs an echo.");
  }

  /**
   * Returns how many bytes wait unread in the server's socket, as the system counts them.
   *
   * @return -1 where that cannot be known
   */
  default long unreadLoad() {
    return -1;
  }
}
