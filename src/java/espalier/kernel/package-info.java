/**
 * The kernel of Espalier: bytes, processes, numbers. Usable from Java alone.
 *
 * <ul>
 *   <li>{@link espalier.kernel.ServerProcess} spawns a server, reads its output, ends it, and never lets it outlive
 *       this JVM; {@link espalier.kernel.ServerOutput} knows what its lines mean. Where something else may stand in for
 *       a process, it is a {@link espalier.kernel.RunningServer}.
 *   <li>{@link espalier.kernel.OscMessage}, {@link espalier.kernel.OscBundle} and {@link espalier.kernel.TimeTag} are
 *       values; {@link espalier.kernel.OscCodec} turns them into bytes and back.
 *   <li>{@link espalier.kernel.Link} carries packets over UDP or TCP.
 *   <li>{@link espalier.kernel.NodeIds} and {@link espalier.kernel.BlockIds} hand out the numbers of one client.
 * </ul>
 *
 * <p>Rules of the package. Nothing here prints, logs, or knows Clojure. {@code null} is refused wherever a method does
 * not say otherwise. Every class is safe under threads, except {@link espalier.kernel.OscCodec}, which belongs to one
 * thread or one lock at a time. Threads are daemons whose names begin with {@code espalier-}. A listener that throws
 * cannot stop the thread that called it.
 *
 * <pre>{@code
 * ServerProcess scsynth = ServerProcess.start(
 *     new ServerProcess.Spec(
 *         List.of("/usr/bin/scsynth", "-u", "57110", "-R", "0", "-l", "1"),
 *         Map.of("JACK_NO_START_SERVER", "1"),
 *         Path.of("/dev/shm/SuperColliderServer_57110")));
 * scsynth.ready().get(10, TimeUnit.SECONDS);
 * try (Link link = UdpLink.open(new InetSocketAddress("127.0.0.1", 57110), packet -> System.out.println(packet))) {
 *   link.send(new OscMessage("/status"));
 *   scsynth.end(() -> link.send(new OscMessage("/quit")), Duration.ofSeconds(2), Duration.ofSeconds(1));
 * }
 * }</pre>
 */
package espalier.kernel;
