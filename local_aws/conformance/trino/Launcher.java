/** Starts Trino's server from its jars; its tarball's own launcher adds nothing that is needed here. */
public class Launcher {
    public static void main(String[] arguments) {
        new io.trino.server.Server().start("435");
    }
}
