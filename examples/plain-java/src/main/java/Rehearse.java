import clojure.java.api.Clojure;
import clojure.lang.IFn;
import espalier.kernel.OscMessage;
import espalier.kernel.UdpLink;
import java.io.Closeable;
import java.net.InetSocketAddress;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** Boots a server, declares what plays, listens to it, and quits. */
public final class Rehearse {

  private Rehearse() {}

  /** A function of espalier.core; those that wait are in espalier.future too, and return CompletableFutures. */
  private static IFn core(String name) {
    return Clojure.var("espalier.core", name);
  }

  /** Options and trees are data, and data can be written as text. */
  private static Object data(String text) {
    return Clojure.read(text);
  }

  public static void main(String[] args) throws Exception {
    for (String namespace : new String[] {"espalier.core", "espalier.future", "espalier.instruments"}) {
      Clojure.var("clojure.core", "require").invoke(Clojure.read(namespace));
    }
    int port = ((Number) core("find-free-port").invoke()).intValue();
    String executable = args.length > 0 ? '"' + args[0] + '"' : ":rehearsal";
    Object options = data("{:executable " + executable + ", :audio :dummy, :port " + port + "}");

    try (Closeable server = (Closeable) core("boot!").invoke(core("server").invoke(options))) {
      System.out.println(server);

      // A handler is a lambda; messages are lists.
      CountDownLatch started = new CountDownLatch(2);
      Consumer<Object> hear = message -> started.countDown();
      core("on-osc!").invoke(server, "/n_go", hear);

      // What is declared plays.
      Object instruments = ((clojure.lang.IDeref) Clojure.var("espalier.instruments", "all")).deref();
      core("add-synthdefs!").invoke(server, instruments);
      Object tree = data("[:group {:key :mix} [:synth {:key :low, :def :organ} {:freq 110}]]");
      System.out.println(core("reconcile!").invoke(server, tree));
      if (!started.await(5, TimeUnit.SECONDS)) {
        throw new IllegalStateException("nothing was heard of the group and the synth");
      }

      // What is done in call-at is one bundle.
      Callable<Object> chord = () -> {
        core("set-controls!").invoke(core("node").invoke(server, data(":low")), data("{:freq 112}"));
        return core("add-synth!").invoke(server, "organ", data("{:freq 330}"));
      };
      System.out.println(core("call-at").invoke(server, data("{:confirm true}"), chord));
      core("print-tree").invoke(server);

      // What waits need not block.
      CompletableFuture<?> status = (CompletableFuture<?>) Clojure.var("espalier.future", "status").invoke(server);
      System.out.println("synths: " + status.thenApply(s -> ((Map<?, ?>) s).get(data(":synth-count"))).get(5, TimeUnit.SECONDS));

      // The kernel alone is plain Java: a link to the same server, messages, a listener.
      CompletableFuture<Object> answer = new CompletableFuture<>();
      try (UdpLink link = UdpLink.open(new InetSocketAddress("127.0.0.1", port), answer::complete)) {
        link.send(new OscMessage("/status"));
        System.out.println("kernel: " + answer.get(5, TimeUnit.SECONDS));
      }
    }
    Clojure.var("clojure.core", "shutdown-agents").invoke();
  }
}
