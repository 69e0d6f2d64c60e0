package espalier.kernel;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * A child process: scsynth, supernova or jackd.
 *
 * <p>Both of its streams are drained for as long as it lives, for a full pipe would freeze scsynth's audio thread. It never
 * outlives this JVM, however that ends: on Linux and macOS it is started through {@code /bin/sh}, which leaves a watcher
 * behind that waits at a pipe from this JVM and then becomes the server itself, so that {@link #pid} and the exit code
 * are the server's own. When the JVM dies, be it of {@code kill -9}, the pipe closes and the watcher ends the server with
 * SIGTERM, after two seconds SIGKILL, and removes what it left. On Windows only a shutdown hook does so: there a JVM
 * that is killed hard leaves its server behind. Ctrl-C at a terminal does not reach the child.
 */
public final class ServerProcess implements RunningServer {

  /**
   * What to start.
   *
   * @param command the executable and its arguments
   * @param environment set besides what this JVM was given
   * @param isReady whether a line of output says that the process is ready
   * @param leftover a file to delete when the process has ended, or null
   * @param listener hears every line, on a thread of its stream; what it throws is ignored
   */
  public record Spec(
      List<String> command,
      Map<String, String> environment,
      Predicate<String> isReady,
      Path leftover,
      Consumer<Line> listener) {

    public Spec {
      command = List.copyOf(command);
      environment = Map.copyOf(environment);
    }

    /**
     * A server with this JVM's environment, ready when {@link ServerOutput} says so.
     *
     * @param command the executable and its arguments
     */
    public Spec(List<String> command) {
      this(command, Map.of(), null);
    }

    /**
     * A server that is ready when {@link ServerOutput} says so.
     *
     * @param command the executable and its arguments
     * @param environment set besides what this JVM was given
     * @param leftover a file to delete when the process has ended, or null
     */
    public Spec(List<String> command, Map<String, String> environment, Path leftover) {
      this(command, environment, line -> ServerOutput.meaning(line) == ServerOutput.Meaning.READY, leftover, line -> {});
    }
  }

  /**
   * One line of output.
   *
   * @param isError whether it came by stderr
   * @param text the line, of 8,192 characters at the most
   */
  public record Line(boolean isError, String text) {}

  /**
   * How a process ended.
   *
   * @param code its exit code; 128 and the number of the signal that killed it
   * @param wasAsked whether {@link ServerProcess#end} was called before: 0 alone does not tell, for scsynth exits with 0
   *     when JACK dies
   */
  public record Exit(int code, boolean wasAsked) {

    @Override
    public String toString() {
      String name =
          switch (code) {
            case 130 -> " (SIGINT)";
            case 134 -> " (SIGABRT)";
            case 137 -> " (SIGKILL)";
            case 139 -> " (SIGSEGV)";
            case 141 -> " (SIGPIPE)";
            case 143 -> " (SIGTERM)";
            default -> "";
          };
      return "exit " + code + name;
    }
  }

  /** Thrown into {@link ServerProcess#ready} when the process ends before it was ready. */
  public static final class NotReadyException extends Exception {
    private static final long serialVersionUID = 1L;

    NotReadyException(String message) {
      super(message);
    }
  }

  private static final int KEPT_LINES = 500;
  private static final int MAX_LINE = 8192;
  private static final boolean WINDOWS = File.separatorChar == '\\';
  private static final Set<ServerProcess> LIVING = ConcurrentHashMap.newKeySet();

  /**
   * $1 is the file to remove, the rest the command. The watcher must hold neither stdout nor stderr, or their readers would
   * never see the end; nor may it act when the server is gone already, for its port may be another's by then.
   */
  private static final String GUARD =
      """
      trap '' INT
      leftover=$1; shift
      exec 3<&0 </dev/null
      (
        trap '' HUP TERM QUIT
        read -r _ <&3
        kill -0 $$ || exit 0
        kill -TERM $$
        n=0
        while kill -0 $$ && [ $n -lt 20 ]; do n=$((n + 1)); sleep 0.1; done
        kill -KILL $$
        [ -z "$leftover" ] || rm -f -- "$leftover"
      ) >/dev/null 2>&1 &
      exec "$@" 3<&-
      """;

  static {
    Runtime.getRuntime().addShutdownHook(new Thread(ServerProcess::endAll, "espalier-shutdown"));
  }

  private final Spec spec;
  private final Process process;
  private final Deque<Line> lines = new ArrayDeque<>();
  private final CompletableFuture<Void> ready = new CompletableFuture<>();
  private final CompletableFuture<Exit> exit = new CompletableFuture<>();
  private volatile boolean asked;

  private ServerProcess(Spec spec, Process process) {
    this.spec = spec;
    this.process = process;
  }

  /**
   * Starts a process and returns at once.
   *
   * @param spec what to start
   * @return the process, which may have ended already
   * @throws IOException where it cannot be started at all
   */
  public static ServerProcess start(Spec spec) throws IOException {
    List<String> command = new ArrayList<>();
    if (!WINDOWS) {
      command.addAll(List.of("/bin/sh", "-c", GUARD, "espalier-guard"));
      command.add(spec.leftover() == null ? "" : spec.leftover().toString());
    }
    command.addAll(spec.command());
    ProcessBuilder builder = new ProcessBuilder(command);
    builder.environment().putAll(spec.environment());
    ServerProcess it = new ServerProcess(spec, builder.start());
    LIVING.add(it);
    Thread out = it.thread("out", () -> it.drain(it.process.getInputStream(), false));
    Thread err = it.thread("err", () -> it.drain(it.process.getErrorStream(), true));
    it.thread("exit", () -> it.awaitExit(out, err));
    return it;
  }

  private Thread thread(String what, Runnable body) {
    String program = new File(spec.command().get(0)).getName();
    Thread thread = new Thread(body, "espalier-" + program + "-" + what + "-" + process.pid());
    thread.setDaemon(true);
    thread.start();
    return thread;
  }

  private void drain(InputStream in, boolean isError) {
    byte[] chunk = new byte[8192];
    StringBuilder pending = new StringBuilder();
    try (in) {
      for (int n = in.read(chunk); n >= 0; n = in.read(chunk)) {
        // Latin-1 keeps bytes apart until a line is whole, for a chunk may end within a character.
        pending.append(new String(chunk, 0, n, StandardCharsets.ISO_8859_1));
        int start = 0;
        for (int end = pending.indexOf("\n"); end >= 0; end = pending.indexOf("\n", start)) {
          line(isError, pending.substring(start, end));
          start = end + 1;
        }
        pending.delete(0, start);
        if (pending.length() > MAX_LINE) {
          line(isError, pending.toString());
          pending.setLength(0);
        }
      }
    } catch (IOException closed) {
      // The stream ended with the process.
    }
    if (!pending.isEmpty()) {
      line(isError, pending.toString());
    }
  }

  private void line(boolean isError, String latin1) {
    byte[] bytes = latin1.substring(0, Math.min(MAX_LINE, latin1.length())).getBytes(StandardCharsets.ISO_8859_1);
    Line line = new Line(isError, new String(bytes, StandardCharsets.UTF_8).stripTrailing());
    synchronized (lines) {
      if (lines.size() == KEPT_LINES) {
        lines.removeFirst();
      }
      lines.addLast(line);
    }
    if (!ready.isDone() && spec.isReady().test(line.text())) {
      ready.complete(null);
    }
    try {
      spec.listener().accept(line);
    } catch (Throwable fault) {
      // A listener's fault must not stop the draining.
    }
  }

  private void awaitExit(Thread out, Thread err) {
    try {
      int code = process.waitFor();
      // At once: a moment later the file may be that of the next server on this port.
      removeLeftover();
      // A grandchild may hold the streams open: what the process itself said is there by now.
      out.join(200);
      err.join(200);
      closeStreams();
      LIVING.remove(this);
      ready.completeExceptionally(new NotReadyException(reason()));
      exit.complete(new Exit(code, asked));
    } catch (InterruptedException e) {
      exit.completeExceptionally(e);
    }
  }

  private void closeStreams() {
    try {
      process.getInputStream().close();
      process.getErrorStream().close();
      process.getOutputStream().close();
    } catch (IOException e) {
      // Closed is closed.
    }
  }

  private void removeLeftover() {
    try {
      if (spec.leftover() != null) {
        Files.deleteIfExists(spec.leftover());
      }
    } catch (IOException e) {
      // Not ours to remove, then.
    }
  }

  @Override
  public CompletableFuture<Void> ready() {
    return ready.copy();
  }

  @Override
  public CompletableFuture<Exit> exit() {
    return exit.copy();
  }

  @Override
  public void awaitReady(Duration timeout) throws NotReadyException, TimeoutException, InterruptedException {
    try {
      ready.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (ExecutionException e) {
      throw (NotReadyException) e.getCause();
    }
  }

  /**
   * Ends the process: asks it, then sends SIGTERM, then SIGKILL, and waits until it is gone. Harmless when it is gone
   * already.
   *
   * @param ask asks it to quit, by OSC for example; may throw; null asks nothing
   * @param patience how long it may take after having been asked
   * @param grace how long it may take after SIGTERM
   * @return how it ended
   * @throws InterruptedException when this thread is interrupted meanwhile; the process is killed then
   */
  @Override
  public Exit end(Ask ask, Duration patience, Duration grace) throws InterruptedException {
    asked = true;
    try {
      if (ask != null && process.isAlive()) {
        ask(ask, patience);
      }
      if (process.isAlive()) {
        process.destroy();
        process.waitFor(grace.toNanos(), TimeUnit.NANOSECONDS);
      }
    } finally {
      process.destroyForcibly();
      exit.join();
    }
    return exit.join();
  }

  /** On a thread of its own, for a connection that is full blocks whoever sends. */
  private void ask(Ask ask, Duration patience) throws InterruptedException {
    CompletableFuture<Void> sent = new CompletableFuture<>();
    thread(
        "ask",
        () -> {
          try {
            ask.run();
            sent.complete(null);
          } catch (Throwable e) {
            sent.completeExceptionally(e);
          }
        });
    try {
      CompletableFuture.anyOf(exit, sent.thenCompose(done -> exit)).get(patience.toNanos(), TimeUnit.NANOSECONDS);
    } catch (TimeoutException | ExecutionException e) {
      // It could not be asked, or does not obey: signals remain.
    }
  }

  /** How a process is asked to end; see {@link ServerProcess#end}. */
  @FunctionalInterface
  public interface Ask {
    /**
     * Asks, and may fail to.
     *
     * @throws Exception whatever kept it from asking
     */
    void run() throws Exception;
  }

  /**
   * Ends every process that this JVM started and that still runs, with SIGTERM, then SIGKILL.
   *
   * @return how many there were
   */
  public static int endAll() {
    List<ServerProcess> living = List.copyOf(LIVING);
    for (ServerProcess it : living) {
      it.asked = true;
      it.process.destroy();
    }
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
    for (ServerProcess it : living) {
      try {
        it.process.waitFor(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
        it.process.destroyForcibly().waitFor(1, TimeUnit.SECONDS);
      } catch (InterruptedException e) {
        it.process.destroyForcibly();
        Thread.currentThread().interrupt();
      }
      it.removeLeftover();
    }
    return living.size();
  }

  @Override
  public List<Line> output() {
    synchronized (lines) {
      return List.copyOf(lines);
    }
  }

  @Override
  public boolean isAlive() {
    return process.isAlive();
  }

  /** Linux alone tells: the state follows the name of the program, which may hold anything but is in parentheses. */
  @Override
  public boolean isStopped() {
    try {
      String stat = Files.readString(Path.of("/proc/" + pid() + "/stat"), StandardCharsets.ISO_8859_1);
      return isAlive() && stat.startsWith(") T ", stat.lastIndexOf(')'));
    } catch (IOException e) {
      return false;
    }
  }

  /** {@return the process id, the server's own} */
  @Override
  public long pid() {
    return process.pid();
  }

  @Override
  public List<String> command() {
    return spec.command();
  }

  /** One line: command, process id, whether it runs or how it ended. */
  @Override
  public String toString() {
    String state = exit.isDone() && !exit.isCompletedExceptionally() ? exit.join().toString() : "running";
    return String.join(" ", spec.command()) + " (pid " + pid() + ", " + state + ")";
  }
}
