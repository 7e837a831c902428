# SPDX-License-Identifier: Apache-2.0
"""Attacks in the shape of known holes in kernels, and in other sandboxes."""

import unittest

from tests.security.frame import Attacks, Promise, promises

OWN, CODE = "{home}/own", "/var/task/host.py"
STREAM, DATAGRAM, RAW = 1, 2, 3
UNIX, INET, NETLINK, PACKET = 1, 2, 16, 17
SOCKET, TCP, UDP, IP, IPV6 = 1, 6, 17, 0, 41
NO_FAMILY = "EAFNOSUPPORT|EPROTONOSUPPORT"
REFUSED = "EPERM"
HIGH = 1 << 32
LIMITS_OF_NODE = "memory_mb = 256\ntimeout_ms = 30000\n"
# More than a sandbox has, within what the host allows.
LIMITS = {"core": 1 << 20, "nofile": 4096, "nproc": 4096, "memlock": 4 << 20, "msgqueue": 1 << 10,
          "sigpending": 4096}


def socket_of(name, *arguments, ends="EAFNOSUPPORT", **more):
    return Promise(f"cannot_open_{name}", "kernel.open_socket", ends, arguments, **more)


@promises(
    socket_of("a_packet_socket", PACKET, RAW, 3),
    socket_of("a_packet_socket_behind_high_bits", HIGH + PACKET, RAW, 3),
    socket_of("a_raw_socket", INET, RAW, 1, ends=REFUSED),
    socket_of("a_raw_socket_behind_high_bits", INET, HIGH + RAW, 1, ends=REFUSED),
    socket_of("a_raw_socket_of_ipv6", 10, RAW, 58, ends=REFUSED, lacks=NO_FAMILY),
    socket_of("a_socket_of_the_kernels_cipher", 38, 5, 0, lacks=NO_FAMILY),
    socket_of("a_socket_to_the_hypervisor", 40, STREAM, 0, lacks=NO_FAMILY),
    socket_of("a_socket_of_rxrpc", 33, DATAGRAM, INET, lacks=NO_FAMILY),
    socket_of("a_socket_of_ipsec_keys", 15, RAW, 2, lacks=NO_FAMILY),
    socket_of("a_socket_of_ipsec_policies", NETLINK, RAW, 6, lacks=NO_FAMILY),
    socket_of("a_socket_of_net_filter", NETLINK, RAW, 12, lacks=NO_FAMILY),
    socket_of("a_socket_of_the_audit", NETLINK, RAW, 9, lacks=NO_FAMILY),
    socket_of("a_socket_of_device_events", NETLINK, RAW, 15, lacks=NO_FAMILY),
    socket_of("a_socket_of_generic_netlink", NETLINK, RAW, 16, lacks=NO_FAMILY),
    socket_of("a_socket_that_lists_sockets", NETLINK, RAW, 4, lacks=NO_FAMILY),
    socket_of("a_socket_of_many_paths", INET, STREAM, 262, lacks=NO_FAMILY),
    socket_of("a_socket_of_sctp", INET, STREAM, 132, lacks=NO_FAMILY),
    socket_of("a_ping_socket", INET, DATAGRAM, 1, lacks=f"{NO_FAMILY}|EACCES"),
    socket_of("a_socket_of_xdp", 44, RAW, 0, lacks=NO_FAMILY),
    Promise("cannot_open_a_pair_of_raw_sockets", "kernel.open_socket_pair", "EAFNOSUPPORT",
            (UNIX, RAW)),
    Promise("cannot_open_a_pair_behind_high_bits", "kernel.open_socket_pair", "EAFNOSUPPORT",
            (HIGH + UNIX, HIGH + RAW)),
)
class Families(Attacks):
    pass


@promises(
    Promise("cannot_type_into_a_terminal", "kernel.push_terminal_input", "ENOTTY|EIO"),
    Promise("cannot_type_into_a_terminal_behind_high_bits", "kernel.push_terminal_input",
            "ENOTTY|EIO", (HIGH + 0x5412,)),
    Promise("cannot_overwrite_the_running_interpreter", "kernel.overwrite_running_program",
            "EROFS|EACCES", ("/bin/sleep",), ()),
    Promise("cannot_write_to_what_it_opened_to_read", "kernel.reopen_for_writing",
            "EROFS|EACCES", (CODE,), (OWN,)),
    Promise("cannot_write_to_its_code_by_its_memory", "kernel.write_mapped_file_by_memory",
            "EROFS", (CODE,), (OWN, 2, 3)),
    Promise("cannot_splice_the_page_cache_into_a_pipe", "kernel.share_pages_with_pipe", "EINVAL",
            ("splice",)),
    Promise("cannot_send_the_page_cache_into_a_pipe", "kernel.share_pages_with_pipe", "EINVAL",
            ("sendfile",)),
    Promise("cannot_splice_its_memory_into_a_pipe", "kernel.share_memory_with_pipe", "EINVAL"),
    Promise("cannot_see_which_pages_are_cached", "kernel.see_cached_pages",
            "everything looks cached", (CODE,), (OWN,)),
    Promise("cannot_count_cached_pages", "kernel.count_cached_pages", "ENOSYS", (CODE,), (OWN,)),
    Promise("cannot_use_release_agents", "host.calls", REFUSED,
            (165, "cgroup", "/tmp", "cgroup", 0, "none,name=hearth-attack"), place="scratch"),
    Promise("cannot_make_an_io_ring", "kernel.ring", REFUSED),
    Promise("cannot_make_a_bpf_map", "kernel.bpf_map", REFUSED),
    Promise("cannot_count_events_of_the_processor", "kernel.perf_event", REFUSED),
    Promise("cannot_handle_page_faults", "kernel.fault_handler", REFUSED, (0,)),
    Promise("cannot_handle_its_own_page_faults", "kernel.fault_handler", REFUSED, (1,)),
    Promise("cannot_add_a_key", "kernel.add_key", REFUSED),
    Promise("cannot_make_a_keyring", "kernel.new_session_keyring", REFUSED),
    Promise("cannot_trace_a_child", "kernel.trace_a_child", REFUSED),
    Promise("cannot_read_memory_of_a_child", "kernel.read_memory_of_a_child", REFUSED),
    Promise("cannot_write_memory_of_a_child", "kernel.read_memory_of_a_child", REFUSED, (311,)),
    Promise("cannot_take_a_descriptor_of_a_child", "kernel.take_descriptor_of_a_child", REFUSED),
    Promise("cannot_compare_with_a_child", "kernel.compare_with_a_child", REFUSED),
    Promise("cannot_hide_memory_from_the_kernel", "kernel.secret_memory", REFUSED,
            lacks="ENOSYS"),
    Promise("cannot_supervise_system_calls", "kernel.supervise_system_calls", REFUSED),
    Promise("cannot_turn_off_randomisation", "kernel.personality", "EINVAL", (0x40000,)),
    Promise("cannot_make_readable_memory_executable", "kernel.personality", "EINVAL",
            (0x400000,)),
)
class Shapes(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.hearth.home / "own").write_text("own" * 2000)

    def outside(self, attempt, *given, **more):
        if attempt == "kernel.overwrite_running_program":
            attempt = "kernel.overwrite_running_copy"
        return super().outside(attempt, *given, **more)

    def test_files_are_copied_and_sent_all_the_same(self):
        for found in (self.outside("kernel.copy_a_file"), self.inside("kernel.copy_a_file")):
            self.assertIn("SPDX", found.detail)
        node = ('import fs from "node:fs";\nexport const handle = async () => {'
                ' fs.copyFileSync("/var/task/app.mjs", "/tmp/copy");'
                ' return fs.readFileSync("/tmp/copy", "utf8").length };\n')
        self.hearth.function("copier", "nodejs", "app.handle", {"app.mjs": node}, LIMITS_OF_NODE)
        self.assertEqual(self.call("copier", b"{}"), (200, str(len(node)).encode()))


@promises(
    Promise("cannot_gain_a_capability", "kernel.set_capabilities", REFUSED),
    Promise("cannot_become_root", "kernel.become", REFUSED, (0,)),
    Promise("cannot_become_another_user", "kernel.become", REFUSED, (1,)),
    Promise("cannot_become_another_group", "kernel.become_group", REFUSED, (0,)),
    Promise("cannot_join_groups", "kernel.join_groups", REFUSED, ([0],)),
    Promise("cannot_adopt_orphans", "kernel.process_control", "EINVAL", (36, 1)),
    Promise("cannot_keep_capabilities", "kernel.process_control", "EINVAL", (8, 1)),
    Promise("cannot_change_its_security_bits", "kernel.process_control", "EINVAL", (28, 1)),
    Promise("cannot_let_others_trace_it", "kernel.process_control", "EINVAL", (0x59616d61, -1),
            lacks="EINVAL"),
    Promise("cannot_run_beside_others_on_a_core", "kernel.process_control", "EINVAL",
            (62, 1, 0, 0), lacks="EINVAL|ENODEV"),
    *(Promise(f"cannot_raise_its_limit_of_{name}", "kernel.raise_limit", REFUSED,
              (f"RLIMIT_{name.upper()}", value)) for name, value in LIMITS.items()),
    # 0 would make the kernel start the program of a piped core_pattern: see vm/guest_attacks.py.
    Promise("cannot_lower_its_limit_of_core", "kernel.raise_limit", REFUSED, ("RLIMIT_CORE", 0)),
    Promise("cannot_take_priority", "kernel.be_nicer_to_itself", "EACCES|EPERM"),
    Promise("cannot_run_in_real_time", "kernel.schedule_in_real_time", REFUSED),
    Promise("cannot_be_first_at_the_disk", "kernel.first_at_the_disk", REFUSED),
    Promise("cannot_lock_much_memory", "kernel.lock_memory", "EPERM|ENOMEM", (32 << 20,)),
    Promise("cannot_be_spared_from_out_of_memory", "kernel.write_proc", "EROFS",
            ("oom_score_adj", "-1000"), lacks="EACCES"),
    Promise("cannot_be_spared_by_the_old_name", "kernel.write_proc", "EROFS", ("oom_adj", "-17"),
            lacks="EACCES|ENOENT"),
    Promise("cannot_set_the_precise_clock", "kernel.reach", REFUSED, (227, 0, 0)),
    Promise("cannot_set_the_clock", "kernel.reach", REFUSED, (164, 1, 0)),
    Promise("cannot_adjust_the_clock", "kernel.reach", REFUSED, (159, 0)),
    Promise("cannot_reboot", "kernel.reach", REFUSED, (169, 0, 0, 0, 0)),
    Promise("cannot_swap", "kernel.reach", REFUSED, (167, "/nothing", 0)),
    Promise("cannot_account_processes", "kernel.reach", REFUSED, (163, "/nothing")),
    Promise("cannot_load_a_module", "kernel.reach", REFUSED, (313, -1, "", 0), lacks="ENOSYS"),
    Promise("cannot_watch_files_of_the_host", "kernel.reach", REFUSED, (300, 0, 0),
            lacks="ENOSYS"),
    Promise("cannot_watch_shared_files", "kernel.reach", REFUSED, (294, 0)),
    Promise("cannot_submit_io_without_waiting", "kernel.reach", REFUSED, (206, 0, 0),
            lacks="ENOSYS"),
    Promise("cannot_move_pages_between_nodes", "kernel.reach", REFUSED, (279, 0, 0, 0, 0, 0, 0),
            lacks="ENOSYS"),
    Promise("cannot_rewrite_its_memory_map", "kernel.rewrite_its_memory_map", "EINVAL",
            lacks="EPERM"),
    Promise("cannot_list_security_modules", "kernel.reach", "ENOSYS", (461, 0, 0, 1),
            lacks="ENOSYS"),
)
class Rights(Attacks):
    pass


def option(name, kind, level, number, value=0, lacks="ENOPROTOOPT"):
    return Promise(f"cannot_set_{name}", "options.offer_option", "ENOPROTOOPT",
                   (kind, level, number, value), lacks=lacks)


def advice(name, *given, on_file=False, lacks=""):
    attempt = "options.advise_on_file" if on_file else "options.advise"
    twin = tuple(OWN if each == CODE else each for each in given)
    return Promise(f"cannot_{name}", attempt, "EINVAL", given, twin, lacks=lacks)


def told(name, attempt, *given, **more):
    return Promise(f"cannot_{name}", f"options.{attempt}", REFUSED, given, place="scratch", **more)


@promises(
    option("a_protocol_of_encryption_on_tcp", "tcp", TCP, 31, "tls"),
    option("a_protocol_of_ipsec_on_tcp", "tcp", TCP, 31, "espintcp"),
    option("how_tcp_is_congested", "tcp", TCP, 13, "hearth"),
    option("signatures_of_tcp", "tcp", TCP, 14),
    option("a_repair_of_tcp", "tcp", TCP, 19),
    option("ipsec_in_udp", "udp", UDP, 100, 2),
    option("segments_of_udp", "udp", UDP, 103, 1),
    option("rules_of_the_ipv4_filter", "tcp", IP, 64, "x" * 100),
    option("rules_of_the_ipv6_filter", "tcp6", IPV6, 64, "x" * 100),
    option("rules_of_the_arp_filter", "tcp", IP, 96, "x" * 100),
    option("rules_of_the_bridge_filter", "tcp", IP, 128, "x" * 120),
    option("options_of_ip_headers", "udp", IP, 4, "x"),
    option("filters_of_groups", "udp", IP, 41, "x"),
    option("groups_of_hosts", "udp", IP, 35, "x" * 8),
    option("ipv6_sockets_to_ipv4", "tcp6", IPV6, 1, INET),
    option("groups_of_netlink", "netlink", 270, 1, 1),
    option("no_checksums", "udp", SOCKET, 11, 1),
    option("sending_without_copies", "tcp", SOCKET, 60, 1),
    option("stamps_of_time_on_the_hosts_packets", "udp", SOCKET, 29, 1),
    option("extended_filters", "udp", SOCKET, 50, -1),
    option("extended_filters_of_groups", "udp", SOCKET, 52, -1),
    Promise("cannot_attach_a_filter", "options.attach_filter", "ENOPROTOOPT"),
    Promise("cannot_attach_a_filter_to_a_group", "options.attach_filter", "ENOPROTOOPT", (51,)),
    Promise("cannot_attach_a_filter_behind_high_bits", "options.attach_filter", "ENOPROTOOPT",
            (HIGH + 26, HIGH + SOCKET)),
    *(Promise(f"cannot_send_urgent_data_by_{how}", "options.send_out_of_band", "ENOTSUP",
              (how,), lacks="ENOTSUP") for how in ("sendto", "sendmsg", "sendmmsg")),
    Promise("cannot_send_urgent_data_behind_high_bits", "options.send_out_of_band", "ENOTSUP",
            ("sendto", HIGH + 1), lacks="ENOTSUP"),
    Promise("cannot_send_urgent_data_by_tcp", "options.send_urgent_data", "ENOTSUP"),
    Promise("cannot_ask_whether_a_page_is_cached", "options.read_with_flags", "ENOTSUP",
            (CODE, 8), (OWN, 8)),
    Promise("cannot_ask_whether_a_name_is_cached", "options.look_up_cached", "ENOSYS", (CODE,),
            (OWN,)),
    Promise("cannot_read_and_send_pages_away", "options.read_with_flags", "ENOTSUP",
            (CODE, 128), (OWN, 128), lacks="ENOTSUP"),
    Promise("cannot_write_with_flags", "options.write_with_flags", "ENOTSUP", (2,)),
    advice("merge_its_pages_with_others", 12, lacks="EINVAL"),
    advice("send_pages_of_files_away", 21, CODE, on_file=True),
    advice("make_pages_of_files_go_first", 20, CODE, on_file=True),
    advice("send_pages_away_behind_high_bits", HIGH + 21, CODE, on_file=True),
    # Of no bytes: outside it would take the memory from the host.
    advice("poison_memory", 100, 0, lacks="EINVAL|EPERM"),
    advice("take_memory_offline", 101, 0, lacks="EINVAL|EPERM"),
    told("change_interfaces_by_netlink", "raise_loopback"),
    told("make_an_interface", "make_interface", "dummy", lacks="ENOTSUP"),
    told("make_a_pair_of_interfaces", "make_interface", "veth", lacks="ENOTSUP"),
    told("queue_packets", "add_queue", lacks="ENOENT|ENOTSUP"),
    told("filter_packets", "add_traffic_filter", lacks="ENOENT|EINVAL"),
)
class Options(Attacks):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        (cls.hearth.home / "own").write_text("own" * 2000)

    def test_programs_tune_their_sockets_and_memory_all_the_same(self):
        for found in (self.outside("options.tune_as_programs_do"),
                      self.inside("options.tune_as_programs_do")):
            self.assertEqual(found, (True, "('x', 1, 1)"))


def native(name, attempt, ends, **more):
    return Promise(name, attempt, ends, by="native", **more)


@promises(
    native("cannot_enter_the_kernel_as_i386", "enter_as_i386", "crashed: .*SIGSYS"),
    native("cannot_mount_by_an_i386_number", "mount_as_i386", "crashed: .*SIGSYS"),
    native("cannot_enter_the_kernel_as_x32", "enter_as_x32", "crashed: .*SIGSYS"),
    native("cannot_pass_the_filter_by_a_wide_number", "unshare_with_high_bits", "EPERM",
           place="scratch"),
    native("cannot_pass_the_filter_by_wide_flags", "flags_with_high_bits", "EPERM",
           place="scratch"),
    native("cannot_make_segments", "local_descriptors", "EPERM", lacks="ENOSYS"),
    native("cannot_reach_the_ports_of_devices", "input_output_level", "EPERM", lacks="ENOSYS"),
    native("cannot_reach_one_port_of_a_device", "input_output_ports", "EPERM", lacks="ENOSYS"),
    native("cannot_map_page_zero", "map_page_zero", "EPERM"),
    native("a_program_cannot_clone_into_a_network", "clone3_into_network", "ENOSYS"),
    native("a_program_cannot_clone_into_a_time", "clone_with_new_time", "ENOSYS"),
)
class MachineCode(Attacks):
    native = True


if __name__ == "__main__":
    unittest.main()
