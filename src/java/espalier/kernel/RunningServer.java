package espalier.kernel;

import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeoutException;

/** A server that was started here: a {@link ServerProcess}, or what stands in for one. */
public interface RunningServer {

  /**
   * Completes when the server says that it is ready; exceptionally with {@link ServerProcess.NotReadyException} if it ends
   * before.
   *
   * @return a future of the caller's own
   */
  CompletableFuture<Void> ready();

  /**
   * Completes when the server has ended and its output has been read.
   *
   * @return a future of the caller's own
   */
  CompletableFuture<ServerProcess.Exit> exit();

  /**
   * Waits until the server is ready.
   *
   * @param timeout how long it may take
   * @throws ServerProcess.NotReadyException when it ended instead; the message says why
   * @throws TimeoutException when the time is up; the server still runs
   * @throws InterruptedException when this thread is interrupted meanwhile; the server still runs
   */
  void awaitReady(Duration timeout) throws ServerProcess.NotReadyException, TimeoutException, InterruptedException;

  /**
   * Ends the server: asks it, then makes it end, and waits until it is gone. Harmless when it is gone already.
   *
   * @param ask asks it to quit, by OSC for example; may throw; null asks nothing
   * @param patience how long it may take after having been asked
   * @param grace how long it may take after it was made to end, before it is killed
   * @return how it ended
   * @throws InterruptedException when this thread is interrupted meanwhile; the server is killed then
   */
  ServerProcess.Exit end(ServerProcess.Ask ask, Duration patience, Duration grace) throws InterruptedException;

  /** {@return the last 500 lines that the server printed} */
  List<ServerProcess.Line> output();

  /** {@return whether the server runs} */
  boolean isAlive();

  /** {@return whether the server is stopped, as by SIGSTOP, and does nothing until it is let go on; false where that cannot be told} */
  default boolean isStopped() {
    return false;
  }

  /**
   * The process id.
   *
   * @return its number
   * @throws UnsupportedOperationException where there is no process: no number would be safe to send a signal to
   */
  long pid();

  /** {@return the clock by which it carries out what is sent for a time to come: the machine's, unless time is a pretence there} */
  default InstantSource clock() {
    return InstantSource.system();
  }

  /** {@return the words that started it: the executable, or what stands for it, and its arguments} */
  List<String> command();

  /** {@return the first line of its output that tells of a failure, if any does} */
  default Optional<String> failure() {
    return output().stream()
        .map(ServerProcess.Line::text)
        .filter(line -> ServerOutput.meaning(line) == ServerOutput.Meaning.FAILURE)
        .findFirst();
  }

  /** {@return why the server ended or is in trouble: the first line of its output that tells, or the last that it printed} */
  default String reason() {
    return failure()
        .orElseGet(
            () ->
                output().stream()
                    .map(ServerProcess.Line::text)
                    .filter(line -> !line.isBlank())
                    .reduce((earlier, later) -> later)
                    .orElse("it printed nothing"));
  }
}
