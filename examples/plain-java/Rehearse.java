import clojure.java.api.Clojure;
import clojure.lang.IFn;
import espalier.kernel.OscCodec;
import espalier.kernel.OscMessage;
import java.io.Closeable;
import java.nio.ByteBuffer;
import java.util.Map;

/** Boots a rehearsal, declares a tree, prints it, and talks to the server with the kernel's messages. */
public final class Rehearse {

  private static final String CORE = "espalier.core";

  private Rehearse() {}

  private static IFn function(String name) {
    return Clojure.var(CORE, name);
  }

  public static void main(String[] args) throws Exception {
    // The kernel alone: bytes of a message, as any server takes them.
    OscCodec codec = new OscCodec(65507);
    ByteBuffer encoded = codec.encode(new OscMessage("/s_new", "bell", 1000, 0, 1));
    byte[] bytes = new byte[encoded.remaining()];
    encoded.get(bytes);
    System.out.println("kernel: " + bytes.length + " bytes, " + codec.decode(bytes, 0, bytes.length));

    // Everything else, through the Clojure facade.
    IFn require = Clojure.var("clojure.core", "require");
    require.invoke(Clojure.read(CORE));
    require.invoke(Clojure.read("espalier.instruments"));

    Object executable = args.length > 0 ? args[0] : Clojure.read(":rehearsal");
    Object options = Clojure.var("clojure.core", "hash-map").invoke(
        Clojure.read(":executable"), executable,
        Clojure.read(":audio"), Clojure.read(":dummy"),
        Clojure.read(":port"), function("find-free-port").invoke());

    try (Closeable server = (Closeable) function("boot!").invoke(function("server").invoke(options))) {
      System.out.println(server);

      // The value of a var, a SynthDef: a declared tree carries it to the server.
      Object organ = ((clojure.lang.IDeref) Clojure.var("espalier.instruments", "organ")).deref();
      Object tree = Clojure.var("clojure.core", "vector").invoke(
          Clojure.read(":group"), Clojure.read("{:key :mix}"),
          synth(":low", organ, 110.0),
          synth(":high", organ, 330.0));
      System.out.println(function("reconcile!").invoke(server, tree));
      function("print-tree").invoke(server);

      Map<?, ?> status = (Map<?, ?>) function("status").invoke(server);
      System.out.println("synths: " + status.get(Clojure.read(":synth-count")));
    }
    Clojure.var("clojure.core", "shutdown-agents").invoke();
  }

  private static Object synth(String key, Object synthdef, double frequency) {
    IFn vector = Clojure.var("clojure.core", "vector");
    IFn map = Clojure.var("clojure.core", "hash-map");
    return vector.invoke(
        Clojure.read(":synth"),
        map.invoke(Clojure.read(":key"), Clojure.read(key), Clojure.read(":def"), synthdef),
        map.invoke(Clojure.read(":freq"), frequency));
  }
}
