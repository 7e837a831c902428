// SPDX-License-Identifier: Apache-2.0
// What Java programs do; each prints a line.
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.Pipe;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;

public class Everyday {
  static long threads() throws Exception {
    var pool = Executors.newFixedThreadPool(8);
    List<Future<Long>> parts = new ArrayList<>();
    for (int i = 0; i < 100; ++i) {
      final int number = i;
      parts.add(pool.submit(() -> {
        Thread.currentThread().setPriority(Thread.MIN_PRIORITY);
        return (long) new byte[100_000].length * number;
      }));
    }
    long sum = 0;
    for (var part : parts) sum += part.get();
    pool.shutdown();
    System.gc();
    return sum;
  }

  static int server() throws Exception {
    var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
    server.createContext("/", exchange -> {
      exchange.sendResponseHeaders(200, 1_000_000);
      exchange.getResponseBody().write(new byte[1_000_000]);
      exchange.close();
    });
    server.start();
    var uri = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/");
    var client = HttpClient.newHttpClient();
    var answer = client.send(HttpRequest.newBuilder(uri).build(),
                             HttpResponse.BodyHandlers.ofByteArray());
    server.stop(0);
    return answer.body().length;
  }

  // To a file and to a pipe: transferTo takes sendfile where it finds it.
  static String files() throws Exception {
    var data = new byte[50_000];
    Arrays.fill(data, (byte) 3);
    Path from = Path.of("/tmp/java"), to = Path.of("/tmp/java2");
    Files.write(from, data);
    Files.copy(from, Path.of("/tmp/java3"), StandardCopyOption.COPY_ATTRIBUTES);
    long sent;
    var pipe = Pipe.open();
    try (var in = FileChannel.open(from);
         var out = FileChannel.open(to, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      sent = in.transferTo(0, in.size(), out);
      out.force(true);
      sent += in.transferTo(0, in.size(), pipe.sink());
      try (var lock = out.lock()) {
        in.map(FileChannel.MapMode.READ_ONLY, 0, in.size()).load();
      }
    }
    int piped = pipe.source().read(ByteBuffer.allocate(100_000));
    return sent + " " + piped + " " + Files.mismatch(from, to);
  }

  static String packed() throws Exception {
    var out = new ByteArrayOutputStream();
    try (var gzip = new GZIPOutputStream(out)) {
      gzip.write(new byte[100_000]);
    }
    var back = new GZIPInputStream(new ByteArrayInputStream(out.toByteArray())).readAllBytes();
    return back.length + " " + MessageDigest.getInstance("SHA-256").digest(back).length;
  }

  static String child() throws Exception {
    var process = new ProcessBuilder("sh", "-c", "seq 100 | sort -r | head -1").start();
    var text = new String(process.getInputStream().readAllBytes()).strip();
    return text + " " + process.waitFor();
  }

  public static void main(String[] arguments) throws Exception {
    System.out.println("body " + System.in.readAllBytes().length);
    System.out.println("threads " + threads());
    System.out.println("server " + server());
    System.out.println("files " + files());
    System.out.println("packed " + packed());
    System.out.println("child " + child());
    System.out.println("interface " + NetworkInterface.getByName("lo").getName());
    System.out.println("localhost " + InetAddress.getByName("localhost").isLoopbackAddress());
    System.exit(0);
  }
}
