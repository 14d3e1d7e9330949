package fraudwindows;

/**
 * Lets a TaskManager forget a job that has ended or restarted.
 *
 * <p>PyFlink talks to its Python workers through Beam's copy of gRPC and Netty, which is loaded anew for each start of a job. Two
 * habits of Netty outlive it. Its native epoll library holds global references to Netty's classes, so nothing of that start is ever unloaded:
 * 65 MB of metaspace each time. And its pools of direct memory, up to 50 MB each time, go only with their classes; after some
 * eight restarts a TaskManager of 3.5 GB could not start another Python worker ("Cannot reserve direct buffer memory").
 * Without the library Netty uses the JDK's own sockets, and without the preference its pools are in the heap.
 *
 * <p>System properties are the only switches. They are set when the first class of this jar that each job needs is initialised, which
 * may be after the first worker's start; they outlive the job, so at most one start per TaskManager process has the library.
 */
final class UnloadableClasses {

    private static final String NETTY = "org.apache.beam.vendor.grpc.v1p48p1.io.netty.";

    private UnloadableClasses() {}

    /** Sets the switches, unless the platform has set them. */
    static void keep() {
        System.getProperties().putIfAbsent(NETTY + "transport.noNative", "true");
        System.getProperties().putIfAbsent(NETTY + "noPreferDirect", "true");
    }
}
