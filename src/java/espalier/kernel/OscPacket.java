package espalier.kernel;

/** What travels in one datagram or one TCP frame: an {@link OscMessage} or an {@link OscBundle}. */
public sealed interface OscPacket permits OscMessage, OscBundle {}
