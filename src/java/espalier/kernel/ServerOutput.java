package espalier.kernel;

import java.util.List;
import java.util.OptionalDouble;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the lines mean that scsynth, supernova and jackd print, as seen of version 3.13 (1.9.21 of jackd).
 *
 * <p>An {@code ERROR} on the way up is not always one: without a directory of SynthDefs, without a plugin that does not
 * load, or with a JACK port that cannot be connected, the server still plays. So a boot has failed when the process has
 * ended, or its deadline has passed, and never because of a line; the lines then tell why.
 */
public final class ServerOutput {

  /** What a line says. */
  public enum Meaning {
    /** The server answers from here on. */
    READY,
    /** Why the server is about to end, or cannot do what was asked. */
    FAILURE,
    /** Looks bad and is not. */
    HARMLESS,
    /** Anything else. */
    OTHER
  }

  private static final List<String> READY = List.of("SuperCollider 3 server ready", "Supernova ready");

  private static final List<String> HARMLESS =
      List.of(
          "*** ERROR: open directory failed",
          "*** ERROR: dlopen",
          "Zeroconf: failed",
          "Warning: cannot raise thread priority",
          "BDB",
          "Cannot open metadata DB",
          "Cannot open DB environment",
          "JackShmReadWritePtr",
          "Cannot connect to server",
          "terminate called");

  private static final List<String> FAILURE =
      List.of(
          "*** ERROR",
          "ERROR",
          "Error",
          "error:",
          "Exception",
          "exception",
          "could not initialize audio",
          "jack server is not running",
          "JackDriver: killed by jack",
          "Jack server was shut down",
          "Failed to open server",
          "Cannot parse",
          "Cannot lock",
          "cannot open",
          "bind:");

  private static final Pattern LATE = Pattern.compile("\\s*late:? ([0-9.]+(?:e-?[0-9]+)?)\\s*");

  private ServerOutput() {}

  /**
   * What a line says.
   *
   * @param line as it was printed
   * @return its meaning
   */
  public static Meaning meaning(String line) {
    String text = line.strip();
    if (starts(READY, text)) {
      return Meaning.READY;
    } else if (starts(HARMLESS, text) || text.contains("couldn't connect")) {
      return Meaning.HARMLESS;
    }
    return starts(FAILURE, text) ? Meaning.FAILURE : Meaning.OTHER;
  }

  /**
   * Whether a line says that there is no audio server or device to play on.
   *
   * @param line as it was printed
   * @return true where it does
   */
  public static boolean saysNoAudio(String line) {
    return line.contains("could not initialize audio")
        || line.contains("jack server is not running")
        || line.contains("could not start audio backend")
        || line.contains("Cannot open supernova client");
  }

  /**
   * Whether a line says that the port is another's.
   *
   * @param line as it was printed
   * @return true where it does
   */
  public static boolean saysPortTaken(String line) {
    return line.contains("address in use") || line.contains("Address already in use");
  }

  /**
   * By how much a bundle came too late, where a line says so: {@code late 0.123} of scsynth. supernova's
   * {@code late: 0.02} leaves out whole seconds.
   *
   * @param line as it was printed
   * @return seconds, or empty where the line says something else
   */
  public static OptionalDouble lateBy(String line) {
    Matcher matcher = LATE.matcher(line);
    return matcher.matches() ? OptionalDouble.of(Double.parseDouble(matcher.group(1))) : OptionalDouble.empty();
  }

  private static boolean starts(List<String> prefixes, String line) {
    return prefixes.stream().anyMatch(line::startsWith);
  }
}
