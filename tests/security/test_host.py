# SPDX-License-Identifier: Apache-2.0
"""Attacks on the host from inside: files, /proc, devices, mounts, namespaces, network."""

import os
import socket
import stat
import unittest

from tests.security.frame import Attacks, Promise, promises

SECRET = "{home}/secret"
OWN = "{home}/own"  # a file of the test, for twins that would change something
CODE, RUNTIME, PROGRAM = "/var/task/host.py", "/var/runtime/python/bootstrap.py", "/usr/bin/env"
NEW = {"mount": 0x20000, "cgroup": 0x2000000, "name": 0x4000000, "ipc": 0x8000000,
       "user": 0x10000000, "process": 0x20000000, "network": 0x40000000}
TIME = 0x80
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096


@promises(
    Promise("cannot_read_a_file_of_the_host", "host.read", "ENOENT", (SECRET,)),
    Promise("cannot_read_the_password_hashes", "host.read", "ENOENT", ("/etc/shadow",)),
    Promise("cannot_list_the_state_folder", "host.list_folder", "ENOENT", ("{home}/state",)),
    Promise("cannot_read_the_configuration", "host.read", "ENOENT", ("{home}/hearth.toml",)),
    Promise("cannot_climb_out_by_dots", "host.climb_by_dots", "ENOENT", (SECRET,)),
    Promise("cannot_climb_out_by_a_link", "host.climb_by_link", "ENOENT", (SECRET,)),
    Promise("cannot_climb_out_by_chroot", "host.climb_by_chroot", "EPERM", (SECRET,)),
    Promise("cannot_climb_out_by_a_moved_folder", "host.climb_by_rename", "ENOENT", (SECRET,)),
    Promise("cannot_climb_out_by_a_leaked_descriptor", "host.climb_by_descriptor",
            "no descriptor leads there", (SECRET,), (SECRET, "/")),
    Promise("cannot_climb_out_by_a_root_of_a_process", "host.climb_by_processes",
            "no process leads there", (SECRET, "root")),
    Promise("cannot_climb_out_by_a_working_folder_of_a_process", "host.climb_by_processes",
            "no process leads there", (SECRET, "cwd")),
    Promise("cannot_open_files_by_handle", "host.open_by_handle", "EPERM", (PROGRAM,), (SECRET,)),
    Promise("cannot_make_files_in_the_root", "host.make_file", "EROFS", ("/planted",),
            ("{home}/planted",)),
    Promise("cannot_make_files_in_the_image", "host.make_file", "EROFS", ("/usr/bin/planted",),
            ("/usr/bin/planted-by-hearth",)),
    Promise("cannot_make_files_in_its_code", "host.make_file", "EROFS", ("/var/task/planted",),
            ("{home}/planted",)),
    Promise("cannot_write_to_its_code", "host.open_to_write", "EROFS|EACCES", (CODE,), (OWN,)),
    Promise("cannot_write_to_the_runtime", "host.open_to_write", "EROFS|EACCES", (RUNTIME,),
            (OWN,)),
    Promise("cannot_write_to_programs_of_the_image", "host.open_to_write", "EROFS|EACCES",
            (PROGRAM,), (OWN,)),
    Promise("cannot_write_to_its_code_through_a_mapping", "host.write_through_mapping",
            "EACCES|EROFS", (CODE,), (OWN, os.O_RDWR)),
    Promise("cannot_truncate_its_code", "host.truncate", "EROFS|EACCES", (CODE,), (OWN,)),
    Promise("cannot_remove_its_code", "host.remove_file", "EROFS", (CODE,), ("{home}/removed",)),
    Promise("cannot_link_its_code", "host.link_file", "EROFS|EXDEV", (CODE,), (OWN,)),
    Promise("cannot_change_modes_in_the_image", "host.same_mode", "EROFS", (PROGRAM,), (OWN,)),
    Promise("cannot_change_times_in_the_image", "host.same_times", "EROFS", (PROGRAM,), (OWN,)),
    Promise("cannot_set_attributes_on_its_code", "host.set_attribute", "EROFS", (CODE,), (OWN,)),
    Promise("cannot_make_a_program_that_runs_as_root", "host.own_as_root", "EPERM"),
    Promise("cannot_give_a_program_capabilities", "host.give_capabilities", "EPERM"),
)
class Files(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("secret", "own", "removed"):
            (cls.hearth.home / name).write_text("secret")


@promises(
    Promise("cannot_see_host_processes", "host.see_processes", "only itself"),
    Promise("cannot_find_host_processes_by_signal", "host.see_processes_by_signal",
            "none but its own"),
    Promise("cannot_signal_hearthd", "host.signal_process", "ESRCH", ("{daemon}",)),
    Promise("cannot_read_hearthds_memory", "host.open_to_write", "ENOENT", ("/proc/{daemon}/mem",)),
    Promise("cannot_read_hearthds_environment", "host.read", "ENOENT", ("/proc/{daemon}/environ",)),
    Promise("cannot_read_the_map_of_physical_memory", "host.read", "ENOENT", ("/proc/iomem",)),
    Promise("cannot_read_kernel_symbols", "host.read", "ENOENT", ("/proc/kallsyms",)),
    Promise("cannot_read_the_kernels_command_line", "host.read", "ENOENT", ("/proc/cmdline",)),
    Promise("cannot_read_the_hosts_keys", "host.read", "ENOENT", ("/proc/keys",)),
    Promise("cannot_read_the_kernel_log", "host.open_device", "ENOENT", ("/dev/kmsg",)),
    Promise("cannot_make_the_kernel_panic", "host.open_to_write", "ENOENT",
            ("/proc/sys/kernel/panic_on_oops",)),
    Promise("cannot_set_the_core_pattern", "host.open_to_write", "ENOENT",
            ("/proc/sys/kernel/core_pattern",)),
    Promise("cannot_turn_off_address_randomisation", "host.open_to_write", "ENOENT",
            ("/proc/sys/kernel/randomize_va_space",)),
    Promise("cannot_set_sysctls_of_the_network", "host.open_to_write", "ENOENT",
            ("/proc/sys/net/ipv4/ip_forward",)),
    Promise("cannot_register_binary_formats", "host.list_folder", "ENOENT",
            ("/proc/sys/fs/binfmt_misc",), ("/proc/sys/fs",)),
    Promise("cannot_see_the_hosts_devices", "host.list_folder", "ENOENT", ("/sys/dev/block",)),
    Promise("cannot_see_the_hosts_modules_and_firmware", "host.list_folder", "ENOENT",
            ("/sys/kernel",)),
    Promise("cannot_open_the_hosts_terminals", "host.open_device", "ENOENT", ("/dev/ptmx",)),
    Promise("cannot_open_a_console", "host.open_device", "ENOENT", ("/dev/console",)),
    Promise("cannot_open_the_packet_tunnel", "host.open_device", "ENOENT", ("/dev/net/tun",)),
    Promise("cannot_open_fuse", "host.open_device", "ENOENT", ("/dev/fuse",)),
    Promise("cannot_make_a_block_device", "host.make_device", "EPERM", (stat.S_IFBLK, 7, 0)),
    Promise("cannot_make_a_character_device", "host.make_device", "EPERM", (stat.S_IFCHR, 1, 11)),
    Promise("cannot_replace_the_null_device", "host.remove_file", "EROFS", ("/dev/null",),
            ("{home}/removed",)),
)
class KernelFiles(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.hearth.home / "removed").write_text("")


@promises(
    Promise("cannot_mount_a_file_system", "host.calls", "EPERM",
            (165, "tmpfs", "/tmp", "tmpfs", 0, ""), place="scratch"),
    Promise("cannot_mount_a_fresh_proc", "host.calls", "EPERM",
            (165, "proc", "/tmp", "proc", 0, ""), place="scratch"),
    Promise("cannot_mount_an_overlay", "host.calls", "EPERM",
            (165, "overlay", "/tmp", "overlay", 0, "lowerdir=/usr:/etc"), place="scratch"),
    Promise("cannot_mount_control_groups", "host.calls", "EPERM",
            (165, "cgroup2", "/tmp", "cgroup2", 0, ""), place="scratch"),
    Promise("cannot_make_the_image_writable", "host.calls", "EPERM",
            (165, "", "/usr", "", MS_REMOUNT | MS_BIND, ""),
            (165, "", "/dev/shm", "", MS_REMOUNT | MS_BIND, ""), place="scratch"),
    Promise("cannot_bind_over_its_code", "host.calls", "EPERM",
            (165, "/tmp", "/var/task", "", MS_BIND, ""),
            (165, "/tmp", "/mnt", "", MS_BIND, ""), place="scratch"),
    Promise("cannot_unmount_its_code", "host.calls", "EPERM", (166, "/var/task", 2),
            (166, "/dev/shm", 2), place="scratch"),
    Promise("cannot_move_a_mount", "host.calls", "EPERM",
            (165, "/dev/shm", "/tmp", "", 8192, ""), place="scratch"),
    Promise("cannot_copy_a_tree_of_mounts", "host.calls", "EPERM", (428, -100, "/", 1),
            place="scratch"),
    Promise("cannot_configure_a_file_system", "host.calls", "EPERM", (430, "tmpfs", 0),
            place="scratch"),
    Promise("cannot_change_attributes_of_mounts", "host.calls", "EPERM",
            (442, -100, "/dev/shm", 0, "\0" * 32, 32), place="scratch"),
    Promise("cannot_list_mounts_by_system_call", "host.list_mounts", "ENOSYS"),
    Promise("cannot_see_mounts_of_the_host", "host.see_mounts", "not among the mounts",
            ("devpts",)),
    Promise("cannot_see_control_groups", "host.see_control_groups", r"no hierarchy, \[\]"),
    *(Promise(f"cannot_unshare_a_{kind}_namespace", "host.calls", "EPERM", (272, flag),
              place="scratch") for kind, flag in NEW.items()),
    Promise("cannot_unshare_a_time_namespace", "host.calls", "EPERM", (272, TIME),
            place="scratch"),
    Promise("cannot_clone_into_a_user_namespace", "host.clone_into", "EPERM", (NEW["user"],)),
    Promise("cannot_clone_into_a_network_namespace", "host.clone_into", "EPERM",
            (NEW["user"] | NEW["network"],)),
    Promise("cannot_clone3_into_a_user_namespace", "host.clone3_into", "ENOSYS", (NEW["user"],)),
    Promise("cannot_map_itself_to_root", "host.map_root", "EROFS",
            twin=(True,)),
    Promise("cannot_join_namespaces_of_its_init", "host.join_namespaces_by_process", "EPERM", (1,),
            ("{daemon}",)),
    Promise("cannot_join_a_namespace_by_its_file", "host.join_namespace_by_file", "EPERM",
            ("/proc/self/ns/mnt",)),
    Promise("cannot_rename_the_host", "host.host_name", "EPERM", ("attacker",), place="scratch"),
    Promise("a_script_cannot_mount", "mount -t tmpfs none /tmp", ".*superuser",
            place="scratch", by="exec"),
    Promise("a_script_cannot_enter_a_namespace", "nsenter -t $PPID -n true",
            ".*Operation not permitted", by="exec"),
    Promise("a_script_cannot_make_itself_root", "unshare --user --map-root-user true",
            ".*Operation not permitted", by="exec"),
    Promise("a_script_cannot_make_a_device", "mknod /tmp/d$$ b 7 0 && rm /tmp/d$$",
            ".*Operation not permitted", by="exec"),
    Promise("a_script_cannot_chroot", "/usr/sbin/chroot / true", ".*Operation not permitted",
            by="exec"),
    Promise("a_script_cannot_read_the_kernel_log", "dmesg >/dev/null", ".*Operation not permitted",
            by="exec"),
    Promise("a_script_cannot_read_the_password_hashes", "cat /etc/shadow >/dev/null",
            ".*No such file", by="exec"),
)
class MountsAndNamespaces(Attacks):
    pass


@promises(
    Promise("cannot_connect_to_the_daemons_port", "host.connect", "ECONNREFUSED",
            (["127.0.0.1", "{port}"],)),
    Promise("cannot_connect_to_the_management_socket", "host.connect_unix", "ENOENT",
            ("{home}/run/hearth.sock",)),
    Promise("cannot_connect_to_abstract_sockets_of_the_host", "host.connect_abstract",
            "ECONNREFUSED", ("hearth-attacked",)),
    Promise("cannot_reach_a_metadata_server", "host.send_datagram", "ENETUNREACH",
            ("169.254.169.254", 80), place="metadata server"),
    Promise("cannot_give_itself_an_address", "host.add_address", "EPERM", place="scratch"),
    Promise("cannot_change_interfaces", "host.raise_interface", "EPERM|ENOTTY", place="scratch"),
)
class Network(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.abstract = socket.socket(socket.AF_UNIX)
        cls.addClassCleanup(cls.abstract.close)
        cls.abstract.bind("\0hearth-attacked")
        cls.abstract.listen()


if __name__ == "__main__":
    unittest.main()
