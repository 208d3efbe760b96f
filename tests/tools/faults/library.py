"""The C source of the library that `control` compiles: it counts what changes files below a folder.

Before a call it can photograph the folder, once as it is and once with half of what is written; or it fails
as on a full disk. It sees what goes through the C library: Python, and TensorFlow from C++.
"""

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

struct control { /* as in control.py */
  long on, count, first, every, full;
  char prefix[1024], photos[1024], log[1024];
  pthread_mutex_t mutex;
};
static struct control *shared;
static __thread int busy;
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("BAYESNAS_FAULTS");
  int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *found = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (found == MAP_FAILED) return;
  shared = found;
  if (shared->count >= 0) return;
  shared->count = 0; /* the first process prepares the mutex */
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->mutex, &kind);
}

static int below(const char *path) {
  size_t size = strlen(shared->prefix);
  return !strncmp(path, shared->prefix, size) && (path[size] == '/' || !path[size]);
}

/* the place that a path means, though nothing lies there yet; 0 if it is not below the prefix */
static int named(int folder, const char *path, char *out) {
  char whole[2 * PATH_MAX], *slash;
  if (!shared || !shared->on || busy || !path) return 0;
  if (path[0] == '/' || folder == AT_FDCWD) snprintf(whole, sizeof whole, "%s", path);
  else snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", folder, path);
  slash = strrchr(whole, '/');
  const char *last = slash ? slash + 1 : whole;
  if (slash) *slash = 0;
  if (!realpath(slash ? (slash == whole ? "/" : whole) : ".", out)) return 0;
  if (strlen(out) + strlen(last) + 2 > PATH_MAX) return 0;
  if (*last) { strcat(out, "/"); strcat(out, last); }
  return below(out);
}

static int opened(int file, char *out) {
  char link[64];
  if (!shared || !shared->on || busy) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, out, PATH_MAX - 1);
  if (size < 0) return 0;
  out[size] = 0;
  return below(out);
}

static void photograph(long number, const char *path, const void *data, size_t size, off_t at) {
  char target[PATH_MAX], *command[] = {"cp", "-a", shared->prefix, target, 0}, *none[] = {0};
  pid_t process;
  int status;
  snprintf(target, sizeof target, "%s/%06ld%s", shared->photos, number, size ? ".half" : "");
  if (!posix_spawn(&process, "/bin/cp", 0, 0, command, none))
    while (waitpid(process, &status, 0) < 0 && errno == EINTR);
  if (!size) return;
  strncat(target, path + strlen(shared->prefix), sizeof target - strlen(target) - 1);
  int file = open(target, O_WRONLY | O_CREAT, 0666);
  if (file >= 0) { if (pwrite(file, data, size, at) < 0) {} close(file); }
}

/* Counts a call; 1 where the disk has just become full, 2 where it was so before. `leave` must follow. */
static int enter(const char *what, const char *path, const char *other, const void *data, size_t size,
                 off_t at, long now) {
  char line[3 * PATH_MAX];
  int error = errno;
  if (pthread_mutex_lock(&shared->mutex) == EOWNERDEAD) pthread_mutex_consistent(&shared->mutex);
  busy = 1;
  long number = ++shared->count;
  int length = snprintf(line, sizeof line, "%ld\t%s\t%s\t%s\t%ld\n", number, what, path, other, now);
  int log = open(shared->log, O_WRONLY | O_APPEND | O_CREAT, 0666);
  if (log >= 0) { if (write(log, line, length) < 0) {} close(log); }
  if (shared->every && number >= shared->first && (number - shared->first) % shared->every == 0) {
    photograph(number, path, 0, 0, 0);
    if (size > 1) photograph(number, path, data, size / 2, at);
  }
  errno = error;
  return shared->full && number >= shared->full ? 1 + (number > shared->full) : 0;
}

static void leave(void) {
  busy = 0;
  pthread_mutex_unlock(&shared->mutex);
}

#define FULL(result) do { leave(); errno = ENOSPC; return result; } while (0)
#define DONE(type, call) do { type result_ = call; int error_ = errno; leave(); errno = error_; \
  return result_; } while (0)

static long size_of(int file) { struct stat s; return fstat(file, &s) ? 0 : (long)s.st_size; }

static int create(const char *what, int folder, const char *path, int flags, int mode, int *file) {
  char place[PATH_MAX];
  if (!(flags & (O_CREAT | O_TRUNC)) || !named(folder, path, place)) return 0;
  int full = enter(what, place, "", 0, 0, 0, 0);
  REAL(openat);
  if (full && (flags & O_CREAT) && access(place, F_OK)) { leave(); errno = ENOSPC; *file = -1; return 1; }
  *file = real(folder, path, flags, mode);
  int error = errno;
  leave();
  errno = error;
  return 1;
}

#define OPEN(name, arguments, folder, call) \
  int name arguments { \
    int mode = 0, file; va_list rest; va_start(rest, flags); \
    if (flags & (O_CREAT | __O_TMPFILE)) mode = va_arg(rest, int); \
    va_end(rest); \
    if (create("open", folder, path, flags, mode, &file)) return file; \
    REAL(name); return call; }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD, real(path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, real(path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), folder, real(folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, real(folder, path, flags, mode))

#define FOPEN(name) \
  FILE *name(const char *path, const char *mode) { \
    char place[PATH_MAX]; REAL(name); \
    if (mode[0] == 'r' || !named(AT_FDCWD, path, place)) return real(path, mode); \
    int full = enter("open", place, "", 0, 0, 0, 0); \
    if (full && access(place, F_OK)) FULL(0); \
    DONE(FILE *, real(path, mode)); }
FOPEN(fopen)
FOPEN(fopen64)

#define WRITE(name, arguments, at, call, half) \
  ssize_t name arguments { \
    char place[PATH_MAX]; REAL(name); \
    if (!opened(file, place)) return call; \
    int full = enter("write", place, "", data, size, at, size_of(file)); \
    if (full == 2 || (full && size < 2)) FULL(-1); \
    if (full) DONE(ssize_t, half); \
    DONE(ssize_t, call); }
#define WHERE (fcntl(file, F_GETFL) & O_APPEND ? size_of(file) : lseek(file, 0, SEEK_CUR))
WRITE(write, (int file, const void *data, size_t size), WHERE, real(file, data, size),
      real(file, data, size / 2))
WRITE(pwrite, (int file, const void *data, size_t size, off_t at), at, real(file, data, size, at),
      real(file, data, size / 2, at))
WRITE(pwrite64, (int file, const void *data, size_t size, off_t at), at, real(file, data, size, at),
      real(file, data, size / 2, at))

#define COPY(name, arguments, call) \
  ssize_t name arguments { \
    char place[PATH_MAX]; REAL(name); \
    if (!opened(file, place)) return call; \
    if (enter("copy", place, "", 0, 0, 0, size_of(file))) FULL(-1); \
    DONE(ssize_t, call); }
COPY(writev, (int file, const struct iovec *parts, int count), real(file, parts, count))
COPY(sendfile, (int file, int from, off_t *at, size_t size), real(file, from, at, size))
COPY(sendfile64, (int file, int from, off_t *at, size_t size), real(file, from, at, size))
COPY(copy_file_range, (int from, off_t *start, int file, off_t *at, size_t size, unsigned flags),
     real(from, start, file, at, size, flags))

static size_t pending(FILE *f) { return f->_IO_write_ptr - f->_IO_write_base; }

size_t fwrite(const void *data, size_t size, size_t count, FILE *f) {
  char place[PATH_MAX];
  REAL(fwrite);
  if (!opened(fileno(f), place)) return real(data, size, count, f);
  const void *first = pending(f) ? f->_IO_write_base : data; /* what reaches the disk first */
  size_t length = pending(f) ? pending(f) : size * count;
  int file = fileno(f);
  if (enter("write", place, "", first, length, WHERE, size_of(file))) FULL(0);
  DONE(size_t, real(data, size, count, f));
}
int fflush(FILE *f) {
  char place[PATH_MAX];
  REAL(fflush);
  if (!f || !opened(fileno(f), place) || !pending(f)) return real(f);
  int file = fileno(f);
  if (enter("write", place, "", f->_IO_write_base, pending(f), WHERE, size_of(file))) FULL(EOF);
  DONE(int, real(f));
}
int fclose(FILE *f) {
  char place[PATH_MAX];
  REAL(fclose);
  if (!opened(fileno(f), place) || !pending(f)) return real(f);
  int file = fileno(f);
  if (enter("write", place, "", f->_IO_write_base, pending(f), WHERE, size_of(file))) {
    __fpurge(f);
    real(f);
    FULL(EOF);
  }
  DONE(int, real(f));
}

#define SYNC(name) \
  int name(int file) { \
    char place[PATH_MAX]; REAL(name); \
    if (!opened(file, place)) return real(file); \
    if (enter("fsync", place, "", 0, 0, 0, size_of(file))) FULL(-1); \
    DONE(int, real(file)); }
SYNC(fsync)
SYNC(fdatasync)

#define MAKE(name, arguments, folder, call) \
  int name arguments { \
    char place[PATH_MAX]; REAL(name); \
    if (!named(folder, path, place)) return call; \
    if (enter("mkdir", place, "", 0, 0, 0, 0) && access(place, F_OK)) FULL(-1); \
    DONE(int, call); }
MAKE(mkdir, (const char *path, mode_t mode), AT_FDCWD, real(path, mode))
MAKE(mkdirat, (int folder, const char *path, mode_t mode), folder, real(folder, path, mode))

#define CHANGE(what, name, arguments, folder, call) \
  int name arguments { \
    char place[PATH_MAX]; REAL(name); \
    if (!named(folder, path, place)) return call; \
    enter(what, place, "", 0, 0, 0, 0); \
    DONE(int, call); }
CHANGE("unlink", unlink, (const char *path), AT_FDCWD, real(path))
CHANGE("unlink", unlinkat, (int folder, const char *path, int flags), folder, real(folder, path, flags))
CHANGE("unlink", rmdir, (const char *path), AT_FDCWD, real(path))
CHANGE("unlink", remove, (const char *path), AT_FDCWD, real(path))
CHANGE("truncate", truncate, (const char *path, off_t size), AT_FDCWD, real(path, size))

int ftruncate64(int file, off_t size) {
  char place[PATH_MAX];
  REAL(ftruncate64);
  if (!opened(file, place)) return real(file, size);
  enter("truncate", place, "", 0, 0, 0, size);
  DONE(int, real(file, size));
}

static int move(int from, const char *path, int to, const char *other) {
  char place[PATH_MAX], target[PATH_MAX];
  REAL(renameat);
  if (!named(from, path, place)) return real(from, path, to, other);
  if (!named(to, other, target)) target[0] = 0;
  enter("rename", place, target, 0, 0, 0, 0);
  DONE(int, real(from, path, to, other));
}
int rename(const char *path, const char *other) { return move(AT_FDCWD, path, AT_FDCWD, other); }
int renameat(int from, const char *path, int to, const char *other) { return move(from, path, to, other); }
"""
