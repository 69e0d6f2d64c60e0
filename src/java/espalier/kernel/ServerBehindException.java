package espalier.kernel;

import java.io.IOException;

/** Thrown instead of a packet being sent that the server would lose, for it has not read what was sent before. */
public final class ServerBehindException extends IOException {

  private static final long serialVersionUID = 1;

  private final long unread;

  ServerBehindException(long unread, long patienceMillis) {
    super("the server has not read the last " + unread + " packets within " + patienceMillis + " ms, and would lose another");
    this.unread = unread;
  }

  /** {@return how many packets are not known to have been read} */
  public long unread() {
    return unread;
  }
}
