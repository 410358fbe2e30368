//! Protocol counters and socket counts: the fields that are sent, by the kernel's names.

// Keyed by the line of /proc/net/snmp and /proc/net/netstat and the column.
fields! { NETSTAT:
    "Ip:Forwarding" = gauge("node_netstat_Ip_Forwarding", "1", "1 if this node forwards IPv4 packets, 2 if not.");
    "Icmp:InMsgs" = counter("node_netstat_Icmp_InMsgs", "1", "ICMP messages received.");
    "Icmp:InErrors" = counter("node_netstat_Icmp_InErrors", "1", "ICMP messages received with an error.");
    "Icmp:OutMsgs" = counter("node_netstat_Icmp_OutMsgs", "1", "ICMP messages sent.");
    "Tcp:ActiveOpens" = counter("node_netstat_Tcp_ActiveOpens", "1", "TCP connections that this node has opened.");
    "Tcp:PassiveOpens" = counter("node_netstat_Tcp_PassiveOpens", "1", "TCP connections that others have opened.");
    "Tcp:CurrEstab" = gauge("node_netstat_Tcp_CurrEstab", "1", "TCP connections that are open.");
    "Tcp:InSegs" = counter("node_netstat_Tcp_InSegs", "1", "TCP segments received.");
    "Tcp:OutSegs" = counter("node_netstat_Tcp_OutSegs", "1", "TCP segments sent, retransmissions aside.");
    "Tcp:RetransSegs" = counter("node_netstat_Tcp_RetransSegs", "1", "TCP segments sent again.");
    "Tcp:InErrs" = counter("node_netstat_Tcp_InErrs", "1", "TCP segments received with an error.");
    "Tcp:OutRsts" = counter("node_netstat_Tcp_OutRsts", "1", "TCP resets sent.");
    "Udp:InDatagrams" = counter("node_netstat_Udp_InDatagrams", "1", "UDP datagrams delivered.");
    "Udp:NoPorts" = counter("node_netstat_Udp_NoPorts", "1", "UDP datagrams received for a port that nobody listens on.");
    "Udp:InErrors" = counter("node_netstat_Udp_InErrors", "1", "UDP datagrams that could not be delivered for an error.");
    "Udp:OutDatagrams" = counter("node_netstat_Udp_OutDatagrams", "1", "UDP datagrams sent.");
    "Udp:RcvbufErrors" = counter("node_netstat_Udp_RcvbufErrors", "1", "UDP datagrams dropped because a socket's receive buffer was full.");
    "Udp:SndbufErrors" = counter("node_netstat_Udp_SndbufErrors", "1", "UDP datagrams not sent because a socket's send buffer was full.");
    "UdpLite:InErrors" = counter("node_netstat_UdpLite_InErrors", "1", "UDP-Lite datagrams that could not be delivered for an error.");
    "TcpExt:SyncookiesSent" = counter("node_netstat_TcpExt_SyncookiesSent", "1", "SYN cookies sent.");
    "TcpExt:SyncookiesRecv" = counter("node_netstat_TcpExt_SyncookiesRecv", "1", "SYN cookies received.");
    "TcpExt:SyncookiesFailed" = counter("node_netstat_TcpExt_SyncookiesFailed", "1", "SYN cookies received that were not valid.");
    "TcpExt:ListenOverflows" = counter("node_netstat_TcpExt_ListenOverflows", "1", "TCP connections refused because a listener's accept queue was full.");
    "TcpExt:ListenDrops" = counter("node_netstat_TcpExt_ListenDrops", "1", "TCP connection attempts that listeners have dropped.");
    "TcpExt:TCPTimeouts" = counter("node_netstat_TcpExt_TCPTimeouts", "1", "TCP retransmission timeouts.");
    "TcpExt:TCPRcvQDrop" = counter("node_netstat_TcpExt_TCPRcvQDrop", "1", "TCP segments dropped because a socket's receive queue was full.");
    "TcpExt:TCPOFOQueue" = counter("node_netstat_TcpExt_TCPOFOQueue", "1", "TCP segments received out of order.");
    "TcpExt:TCPSynRetrans" = counter("node_netstat_TcpExt_TCPSynRetrans", "1", "TCP SYN segments sent again.");
    "IpExt:InOctets" = counter("node_netstat_IpExt_InOctets", "By", "IPv4 bytes received.");
    "IpExt:OutOctets" = counter("node_netstat_IpExt_OutOctets", "By", "IPv4 bytes sent.");
}

// Keyed by the line of /proc/net/snmp6, in its order.
fields! { SNMP6:
    "Ip6InOctets" = counter("node_netstat_Ip6_InOctets", "By", "IPv6 bytes received.");
    "Ip6OutOctets" = counter("node_netstat_Ip6_OutOctets", "By", "IPv6 bytes sent.");
    "Icmp6InMsgs" = counter("node_netstat_Icmp6_InMsgs", "1", "ICMPv6 messages received.");
    "Icmp6InErrors" = counter("node_netstat_Icmp6_InErrors", "1", "ICMPv6 messages received with an error.");
    "Icmp6OutMsgs" = counter("node_netstat_Icmp6_OutMsgs", "1", "ICMPv6 messages sent.");
    "Udp6InDatagrams" = counter("node_netstat_Udp6_InDatagrams", "1", "UDP datagrams delivered over IPv6.");
    "Udp6NoPorts" = counter("node_netstat_Udp6_NoPorts", "1", "UDP datagrams received over IPv6 for a port that nobody listens on.");
    "Udp6InErrors" = counter("node_netstat_Udp6_InErrors", "1", "UDP datagrams over IPv6 that could not be delivered for an error.");
    "Udp6OutDatagrams" = counter("node_netstat_Udp6_OutDatagrams", "1", "UDP datagrams sent over IPv6.");
    "Udp6RcvbufErrors" = counter("node_netstat_Udp6_RcvbufErrors", "1", "UDP datagrams over IPv6 dropped because a socket's receive buffer was full.");
    "Udp6SndbufErrors" = counter("node_netstat_Udp6_SndbufErrors", "1", "UDP datagrams over IPv6 not sent because a socket's send buffer was full.");
    "UdpLite6InErrors" = counter("node_netstat_UdpLite6_InErrors", "1", "UDP-Lite datagrams over IPv6 that could not be delivered for an error.");
}

// Keyed by the line of /proc/net/sockstat and sockstat6 and the word.
fields! { SOCKSTAT:
    "sockets:used" = gauge("node_sockstat_sockets_used", "1", "Sockets in use.");
    "TCP:inuse" = gauge("node_sockstat_TCP_inuse", "1", "TCP sockets in use.");
    "TCP:orphan" = gauge("node_sockstat_TCP_orphan", "1", "TCP sockets that no process has.");
    "TCP:tw" = gauge("node_sockstat_TCP_tw", "1", "TCP sockets in TIME_WAIT.");
    "TCP:alloc" = gauge("node_sockstat_TCP_alloc", "1", "TCP sockets allocated.");
    "TCP:mem" = gauge("node_sockstat_TCP_mem", "1", "Pages that TCP buffers take.");
    "UDP:inuse" = gauge("node_sockstat_UDP_inuse", "1", "UDP sockets in use.");
    "UDP:mem" = gauge("node_sockstat_UDP_mem", "1", "Pages that UDP buffers take.");
    "UDPLITE:inuse" = gauge("node_sockstat_UDPLITE_inuse", "1", "UDP-Lite sockets in use.");
    "RAW:inuse" = gauge("node_sockstat_RAW_inuse", "1", "Raw sockets in use.");
    "FRAG:inuse" = gauge("node_sockstat_FRAG_inuse", "1", "IPv4 packets being put together from fragments.");
    "FRAG:memory" = gauge("node_sockstat_FRAG_memory", "By", "Bytes that IPv4 fragments take.");
    "TCP6:inuse" = gauge("node_sockstat_TCP6_inuse", "1", "TCP sockets over IPv6 in use.");
    "UDP6:inuse" = gauge("node_sockstat_UDP6_inuse", "1", "UDP sockets over IPv6 in use.");
    "UDPLITE6:inuse" = gauge("node_sockstat_UDPLITE6_inuse", "1", "UDP-Lite sockets over IPv6 in use.");
    "RAW6:inuse" = gauge("node_sockstat_RAW6_inuse", "1", "Raw sockets over IPv6 in use.");
    "FRAG6:inuse" = gauge("node_sockstat_FRAG6_inuse", "1", "IPv6 packets being put together from fragments.");
    "FRAG6:memory" = gauge("node_sockstat_FRAG6_memory", "By", "Bytes that IPv6 fragments take.");
    "TCP:mem_bytes" = gauge("node_sockstat_TCP_mem_bytes", "By", "Bytes that TCP buffers take.");
    "UDP:mem_bytes" = gauge("node_sockstat_UDP_mem_bytes", "By", "Bytes that UDP buffers take.");
}
