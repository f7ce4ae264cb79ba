/* A disk that ails on command, for the one process that this is preloaded into.
 *
 * AILING_DIR is the folder whose files are concerned, AILING_SWITCHES another one. While that holds a file `sync`, every
 * fsync and fdatasync of a concerned file fails with EIO; while it holds `read-only`, every write and every opening for
 * writing fails with EROFS, as it does after a kernel has remounted a file system of its own accord. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_on(const char *name) {
    const char *folder = getenv("AILING_SWITCHES");
    char path[4096];
    if (!folder) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static int within(const char *path) {
    const char *folder = getenv("AILING_DIR");
    return folder && strncmp(path, folder, strlen(folder)) == 0;
}

static int concerned(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return within(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(condition, code) if (condition) { errno = code; return -1; }

int fsync(int fd) {
    FAIL_IF(is_on("sync") && concerned(fd), EIO)
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    FAIL_IF(is_on("sync") && concerned(fd), EIO)
    return REAL(fdatasync)(fd);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    FAIL_IF(is_on("read-only") && concerned(fd), EROFS)
    return REAL(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    FAIL_IF(is_on("read-only") && concerned(fd), EROFS)
    return REAL(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    FAIL_IF(is_on("read-only") && concerned(fd), EROFS)
    return REAL(pwrite64)(fd, bytes, count, at);
}

int ftruncate(int fd, off_t length) {
    FAIL_IF(is_on("read-only") && concerned(fd), EROFS)
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    FAIL_IF(is_on("read-only") && concerned(fd), EROFS)
    return REAL(ftruncate64)(fd, length);
}

int unlink(const char *path) {
    FAIL_IF(is_on("read-only") && within(path), EROFS)
    return REAL(unlink)(path);
}

#define OPEN(name)                                                                           \
    int name(const char *path, int flags, ...) {                                             \
        va_list more;                                                                        \
        va_start(more, flags);                                                               \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;              \
        va_end(more);                                                                        \
        int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);         \
        FAIL_IF(writes && is_on("read-only") && within(path), EROFS)                         \
        return REAL(name)(path, flags, mode);                                                \
    }

OPEN(open)
OPEN(open64)
