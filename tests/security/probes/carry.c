// SPDX-License-Identifier: Apache-2.0
// What one call of a compiled program might leave for the next: carry.py without an interpreter.
// Built with INSIDE it is a function of runtime native; else a program that takes its attempt as
// arguments, or from its input as runtime exec gives it: leave or find, which way, and a word.
#ifdef INSIDE
#include <hearth.h>
#endif

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kNothing = -1, kSlot = 57, kKeyUser = -4, kUnlink = 9, kIpcCreate = 01000 };

// Each leave_ and find_ returns 0, or an errno; a find_ that meets something else than the word
// returns kNothing.
static int done(long result) { return result < 0 ? errno : 0; }
static int found(int condition) { return condition ? 0 : kNothing; }

static int key_of(const char *word) {
  uint32_t sum = 2166136261u;
  for (; *word; ++word) sum = (sum ^ (uint8_t)*word) * 16777619u;
  return (int)(sum & 0x7fffffff);
}

static const char *in_folder(const char *folder, const char *word, const char *end) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s%s", folder, word, end);
  return path;
}

static int leave_file(const char *path) {
  int file = open(path, O_WRONLY | O_CREAT, 0600);
  if (file < 0) return errno;
  close(file);
  return 0;
}
static int leave_file_in_tmp(const char *w) { return leave_file(in_folder("/tmp", w, "")); }
static int find_file_in_tmp(const char *w) { return done(access(in_folder("/tmp", w, ""), F_OK)); }
static int leave_file_in_shm(const char *w) { return leave_file(in_folder("/dev/shm", w, "")); }
static int find_file_in_shm(const char *w) {
  return done(access(in_folder("/dev/shm", w, ""), F_OK));
}

static int leave_environment(const char *w) { return done(setenv("LEFT", w, 1)); }
static int find_environment(const char *w) {
  const char *left = getenv("LEFT");
  return found(left && strcmp(left, w) == 0);
}

static int leave_working_folder(const char *w) {
  const char *path = in_folder("/tmp", w, "-folder");
  return mkdir(path, 0700) < 0 ? errno : done(chdir(path));
}
static int find_working_folder(const char *w) {
  char now[256];
  return getcwd(now, sizeof now) ? found(strstr(now, w) != NULL) : errno;
}

static int leave_umask(const char *w) { return (void)w, umask(027), 0; }
static int find_umask(const char *w) {
  mode_t now = umask(022);
  umask(now);
  return (void)w, found(now == 027);
}

static int lower(int which, rlim_t to) { return done(setrlimit(which, &(struct rlimit){to, to})); }
static int find_lowered(int which, rlim_t to) {
  struct rlimit now;
  return getrlimit(which, &now) < 0 ? errno : found(now.rlim_cur == to || now.rlim_max == to);
}
#define LIMIT(name, which, to)                                                           \
  static int leave_##name(const char *w) { return (void)w, lower(RLIMIT_##which, to); }  \
  static int find_##name(const char *w) { return (void)w, find_lowered(RLIMIT_##which, to); }
LIMIT(limit_on_memory, AS, 1L << 40)            LIMIT(limit_on_data, DATA, 1L << 40)
LIMIT(limit_on_locked_memory, MEMLOCK, 1 << 15) LIMIT(limit_on_locks, LOCKS, 1000)
LIMIT(limit_on_open_files, NOFILE, 512)         LIMIT(limit_on_signals, SIGPENDING, 512)
LIMIT(limit_on_processes, NPROC, 32)            LIMIT(limit_on_processor_time, CPU, 5000)
LIMIT(limit_on_real_time, RTTIME, 1L << 40)     LIMIT(limit_on_resident_memory, RSS, 1L << 40)
LIMIT(limit_on_size_of_files, FSIZE, 1 << 29)   LIMIT(limit_on_stack, STACK, 4 << 20)

static int block(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  return done(sigprocmask(SIG_BLOCK, &set, NULL));
}
static int leave_signal_mask(const char *w) { return (void)w, block(SIGUSR2); }
static int find_signal_mask(const char *w) {
  sigset_t now;
  sigprocmask(SIG_BLOCK, NULL, &now);
  return (void)w, found(sigismember(&now, SIGUSR2));
}

static int is_pending(void) {
  sigset_t now;
  sigpending(&now);
  return sigismember(&now, SIGURG);
}
static int leave_pending_signal(const char *w) {
  int error = block(SIGURG);
  return (void)w, error ? error : done(kill(getpid(), SIGURG));
}
static int find_pending_signal(const char *w) { return (void)w, found(is_pending()); }

static int leave_signal_handler(const char *w) { return (void)w, signal(SIGUSR1, SIG_IGN), 0; }
static int find_signal_handler(const char *w) {
  struct sigaction now;
  sigaction(SIGUSR1, NULL, &now);
  return (void)w, found(now.sa_handler == SIG_IGN);
}

static char memory[64];
static int leave_memory(const char *w) { return strncpy(memory, w, sizeof memory - 1), 0; }
static int find_memory(const char *w) { return found(strcmp(memory, w) == 0); }

static int leave_descriptor(const char *w) { return done(dup2(memfd_create(w, 0), kSlot)); }
static int find_descriptor(const char *w) {
  char name[256] = "", path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", kSlot);
  return readlink(path, name, sizeof name - 1) < 0 ? errno : found(strstr(name, w) != NULL);
}

static int leave_timer(const char *w) {
  struct itimerval long_time = {.it_value = {.tv_sec = 500}};
  signal(SIGALRM, SIG_IGN);
  return (void)w, done(setitimer(ITIMER_REAL, &long_time, NULL));
}
static int find_timer(const char *w) {
  struct itimerval now;
  getitimer(ITIMER_REAL, &now);
  return (void)w, found(now.it_value.tv_sec > 0);
}

static int leave_posix_timer(const char *w) {
  struct sigevent quiet = {.sigev_notify = SIGEV_NONE};
  struct itimerspec long_time = {.it_value = {.tv_sec = 500}};
  int timer;
  if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &quiet, &timer) < 0) return errno;
  return (void)w, done(syscall(SYS_timer_settime, timer, 0, &long_time, NULL));
}
static int find_posix_timer(const char *w) {
  struct itimerspec now;
  for (int timer = 0; timer < 1000; ++timer) {
    if (syscall(SYS_timer_gettime, timer, &now) == 0 && now.it_value.tv_sec > 0) return 0;
  }
  return (void)w, kNothing;
}

// Whether a process or thread of that folder of /proc has the word as its name.
static int is_named(const char *folder, const char *name) {
  DIR *all = opendir(folder);
  int yes = 0;
  for (struct dirent *entry; all && (entry = readdir(all));) {
    char path[300], text[32] = "";
    snprintf(path, sizeof path, "%s/%s/comm", folder, entry->d_name);
    int file = open(path, O_RDONLY);
    if (file < 0) continue;
    if (read(file, text, sizeof text - 1) > 0) text[strcspn(text, "\n")] = 0;
    yes |= strcmp(text, name) == 0;
    close(file);
  }
  if (all) closedir(all);
  return yes;
}
static const char *short_name(const char *w) { return strlen(w) > 15 ? w + strlen(w) - 15 : w; }

static void *rest(void *name) {
  prctl(PR_SET_NAME, name);
  while (pause()) {
  }
  return NULL;
}
static int leave_thread(const char *w) {
  pthread_t thread;
  char *name = strdup(short_name(w));
  int error = pthread_create(&thread, NULL, rest, name);
  for (int i = 0; !error && i < 10000 && !is_named("/proc/self/task", name); ++i) usleep(1000);
  return error;
}
static int find_thread(const char *w) { return found(is_named("/proc/self/task", short_name(w))); }

// One that has the word as its name, keeps the file open, and outlives whoever made it.
static int leave_process_with(const char *w, int file) {
  int named[2];
  if (pipe(named) < 0) return errno;
  pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) {
    setsid();
    prctl(PR_SET_DUMPABLE, 1);  // else /proc hides it
    prctl(PR_SET_NAME, short_name(w));
    if (file >= 0) dup2(file, 0);
    close_range(file >= 0 ? 1 : 0, ~0u, 0);
    for (;;) pause();
  }
  close(named[1]);
  char none;
  int error = done(read(named[0], &none, 1));
  close(named[0]);
  return error;
}
static int leave_process(const char *w) { return leave_process_with(w, -1); }
static int find_process(const char *w) { return found(is_named("/proc", short_name(w))); }

static int leave_lock_on_its_code(const char *w) {
  int code = open("/proc/self/exe", O_RDONLY);
  if (flock(code, LOCK_EX) < 0) return errno;
  int error = leave_process_with(w, code);
  close(code);
  return error;
}
static int find_lock_on_its_code(const char *w) {
  int code = open("/proc/self/exe", O_RDONLY);
  int locked = flock(code, LOCK_EX | LOCK_NB) < 0;
  close(code);
  return (void)w, found(locked);
}

static int leave_priority(const char *w) { return (void)w, done(setpriority(PRIO_PROCESS, 0, 3)); }
static int find_priority(const char *w) {
  return (void)w, found(getpriority(PRIO_PROCESS, 0) == 3);
}

static int leave_name(const char *w) { return done(prctl(PR_SET_NAME, short_name(w))); }
static int find_name(const char *w) {
  char now[16] = "";
  prctl(PR_GET_NAME, now);
  return found(strcmp(now, short_name(w)) == 0);
}

static int leave_personality(const char *w) { return (void)w, done(personality(UNAME26)); }
static int find_personality(const char *w) {
  return (void)w, found(personality(0xffffffff) == UNAME26);
}

static int leave_timer_slack(const char *w) {
  return (void)w, done(prctl(PR_SET_TIMERSLACK, 777777UL));
}
static int find_timer_slack(const char *w) {
  return (void)w, found(prctl(PR_GET_TIMERSLACK) == 777777);
}

static int leave_size_of_a_pipe(const char *w) {
  return (void)w, done(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 8192));
}
static int find_size_of_a_pipe(const char *w) {
  return (void)w, found(fcntl(STDERR_FILENO, F_GETPIPE_SZ) == 8192);
}

static int leave_shared_memory_ids(const char *w) {
  return done(syscall(SYS_shmget, key_of(w), 4096, kIpcCreate | 0600));
}
static int find_shared_memory_ids(const char *w) {
  return done(syscall(SYS_shmget, key_of(w), 0, 0));
}
static int leave_semaphores(const char *w) {
  return done(syscall(SYS_semget, key_of(w), 1, kIpcCreate | 0600));
}
static int find_semaphores(const char *w) { return done(syscall(SYS_semget, key_of(w), 0, 0)); }
static int leave_messages(const char *w) {
  return done(syscall(SYS_msgget, key_of(w), kIpcCreate | 0600));
}
static int find_messages(const char *w) { return done(syscall(SYS_msgget, key_of(w), 0)); }
static int leave_queue(const char *w) {
  return done(syscall(SYS_mq_open, w, O_CREAT | O_RDWR, 0600, NULL));
}
static int find_queue(const char *w) { return done(syscall(SYS_mq_open, w, O_RDWR, 0, NULL)); }

static int leave_key(const char *w) {
  return done(syscall(SYS_add_key, "user", w, "x", 1, kKeyUser));
}
static int find_key(const char *w) {
  long key = syscall(SYS_request_key, "user", w, NULL, 0);
  if (key < 0) return errno;
  syscall(SYS_keyctl, kUnlink, key, kKeyUser);  // it would outlive even a host's process
  return 0;
}

static socklen_t unix_address(struct sockaddr_un *address, const char *w, int abstract) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  if (!abstract) strcpy(address->sun_path, in_folder("/tmp", w, ".socket"));
  if (abstract) strncpy(address->sun_path + 1, w, sizeof address->sun_path - 2);
  return (socklen_t)(sizeof *address);
}
static int leave_socket(const void *address, socklen_t size, int family) {
  int server = socket(family, SOCK_STREAM, 0);
  if (server < 0 || bind(server, address, size) < 0) return errno;
  return done(listen(server, 8));
}
static int find_socket(const void *address, socklen_t size, int family) {
  int client = socket(family, SOCK_STREAM, 0);
  int error = client < 0 ? errno : done(connect(client, address, size));
  if (client >= 0) close(client);
  return error;
}
static int leave_abstract_socket(const char *w) {
  struct sockaddr_un address;
  return leave_socket(&address, unix_address(&address, w, 1), AF_UNIX);
}
static int find_abstract_socket(const char *w) {
  struct sockaddr_un address;
  return find_socket(&address, unix_address(&address, w, 1), AF_UNIX);
}
static int leave_socket_in_tmp(const char *w) {
  struct sockaddr_un address;
  return leave_socket(&address, unix_address(&address, w, 0), AF_UNIX);
}
static int find_socket_in_tmp(const char *w) {
  struct sockaddr_un address;
  return find_socket(&address, unix_address(&address, w, 0), AF_UNIX);
}
static struct sockaddr_in port_of(const char *w) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(20000 + key_of(w) % 10000)),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
  return address;
}
static int leave_port(const char *w) {
  struct sockaddr_in address = port_of(w);
  return leave_socket(&address, sizeof address, AF_INET);
}
static int find_port(const char *w) {
  struct sockaddr_in address = port_of(w);
  return find_socket(&address, sizeof address, AF_INET);
}

#define WAY(name) {#name, leave_##name, find_##name}
static const struct {
  const char *name;
  int (*leave)(const char *), (*find)(const char *);
} ways[] = {
    WAY(file_in_tmp),       WAY(file_in_shm),      WAY(environment),    WAY(working_folder),
    WAY(umask),             WAY(port),             WAY(signal_mask),    WAY(pending_signal),
    WAY(signal_handler),    WAY(memory),           WAY(descriptor),     WAY(timer),
    WAY(posix_timer),       WAY(thread),           WAY(process),        WAY(lock_on_its_code),
    WAY(priority),          WAY(name),             WAY(personality),    WAY(timer_slack),
    WAY(size_of_a_pipe),    WAY(shared_memory_ids), WAY(semaphores),    WAY(messages),
    WAY(queue),             WAY(key),              WAY(abstract_socket), WAY(socket_in_tmp),
    WAY(limit_on_memory), WAY(limit_on_data), WAY(limit_on_locked_memory), WAY(limit_on_locks),
    WAY(limit_on_open_files), WAY(limit_on_signals),
    WAY(limit_on_processes), WAY(limit_on_processor_time), WAY(limit_on_real_time),
    WAY(limit_on_resident_memory), WAY(limit_on_size_of_files), WAY(limit_on_stack),
};

// To leave is to find it too, as long as this call runs.
static const char *answer(const char *what, const char *way, const char *word) {
  static char text[128];
  int error = ENOSYS;
  for (size_t i = 0; i < sizeof ways / sizeof *ways; ++i) {
    if (strcmp(ways[i].name, way) != 0) continue;
    error = strcmp(what, "leave") == 0 ? ways[i].leave(word) : 0;
    if (error == 0) error = ways[i].find(word);
  }
  const char *detail = error == 0 ? "found" : error < 0 ? "nothing" : strerrorname_np(error);
  snprintf(text, sizeof text, "{\"worked\": %s, \"detail\": \"%s\"}", error ? "false" : "true",
           detail);
  return text;
}

static const char *answer_lines(const char *body, size_t size) {
  char lines[256] = "", *rest = lines;
  memcpy(lines, body, size < sizeof lines ? size : sizeof lines - 1);
  const char *what = strsep(&rest, "\n"), *way = strsep(&rest, "\n"), *word = strsep(&rest, "\n");
  return answer(what ? what : "", way ? way : "", word ? word : "");
}

#ifdef INSIDE
static int handle(const hearth_event *event, hearth_reply *reply) {
  const char *text = answer_lines(event->body, event->size);
  return hearth_body(reply, text, strlen(text));
}
HEARTH_MAIN(handle)
#else
int main(int count, char **arguments) {
  if (count == 4) return puts(answer(arguments[1], arguments[2], arguments[3])) < 0;
  char body[256];
  return puts(answer_lines(body, fread(body, 1, sizeof body, stdin))) < 0;
}
#endif
