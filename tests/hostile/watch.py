"""What happens on a file system, told by the kernel (fanotify): every open, read and write of anything
on it, by whom. Together with a manifest of its names and inodes nothing done there is missed but
looking at names (stat, readlink), which reads no file."""
import ctypes
import os
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
CLOEXEC_NONBLOCK = 0x1 | 0x2
MARK_ADD_FILESYSTEM = 0x1 | 0x100
ACCESS_MODIFY_OPEN_EXEC_ONDIR = 0x1 | 0x2 | 0x20 | 0x1000 | 0x40000000
EVENT = struct.Struct("=IBBHQii")


class Watch:
    def __init__(self, mountpoint):
        self.top = mountpoint
        self.fd = LIBC.fanotify_init(CLOEXEC_NONBLOCK, os.O_RDONLY | os.O_LARGEFILE)
        if self.fd < 0 or LIBC.fanotify_mark(
                self.fd, MARK_ADD_FILESYSTEM, ctypes.c_uint64(ACCESS_MODIFY_OPEN_EXEC_ONDIR), -100,
                os.fsencode(mountpoint)) < 0:
            raise OSError(ctypes.get_errno(), "fanotify")

    def seen(self):
        """Paths touched since the last call, by others than this process."""
        found = []
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                return found
            while data:
                size, _, _, _, mask, fd, pid = EVENT.unpack_from(data)
                data = data[size:]
                if fd >= 0:
                    path = os.readlink(f"/proc/self/fd/{fd}")
                    os.close(fd)
                    if pid != os.getpid():
                        found.append(f"{path} ({mask:#x} by {pid})")

    def names(self):
        """Every name with its inode, without opening what is not a directory."""
        lines = []
        for path, dirs, files in os.walk(self.top):
            for name in [""] + sorted(files) + sorted(d for d in dirs
                                                      if os.path.islink(os.path.join(path, d))):
                full = os.path.join(path, name)
                st = os.lstat(full)
                lines.append((full, st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size,
                              st.st_nlink, st.st_mtime_ns, st.st_ctime_ns))
        return lines
