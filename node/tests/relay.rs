//! The relay on loopback: delays that hold, order, cuts, and two real transports across it.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use node::relay::Relay;
use quorum::NodeId;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const DELAY: Duration = Duration::from_millis(20);

/// Node a's socket, node b's socket, and the relay between them.
fn pair() -> (Relay, UdpSocket, UdpSocket) {
    let socket = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("sets");
        socket
    };
    let (a, b, relay) = (socket(), socket(), Relay::start().expect("starts"));
    let address = relay
        .link(A, B, b.local_addr().expect("bound"), DELAY * 2)
        .expect("links");
    a.connect(address).expect("connects");
    (relay, a, b)
}

#[test]
fn datagrams_take_their_time_both_ways_and_keep_their_order() {
    let (relay, a, b) = pair();
    let start = Instant::now();
    for number in 0..100u32 {
        a.send(&number.to_le_bytes()).expect("sends");
    }
    let mut buffer = [0; 100];
    for number in 0..100u32 {
        let (length, source) = b.recv_from(&mut buffer).expect("arrives");
        assert_eq!(&buffer[..length], number.to_le_bytes());
        assert!(
            start.elapsed() >= DELAY,
            "datagram {number} came after {:?}",
            start.elapsed()
        );
        b.send_to(&buffer[..length], source).expect("sends");
    }
    for number in 0..100u32 {
        let length = a.recv(&mut buffer).expect("arrives");
        assert_eq!(&buffer[..length], number.to_le_bytes());
        assert!(start.elapsed() >= DELAY * 2);
    }
    let forwarded = || (relay.traffic(A, B).forwarded, relay.traffic(B, A).forwarded);
    while forwarded() != (100, 100) {
        std::thread::yield_now();
    }
}

#[test]
fn a_cut_stops_one_direction_until_it_is_healed() {
    let (relay, a, b) = pair();
    let mut buffer = [0; 100];
    a.send(b"hello").expect("sends");
    let (_, source) = b.recv_from(&mut buffer).expect("arrives");
    relay.cut(A, B);
    a.send(b"lost").expect("sends");
    b.send_to(b"answer", source).expect("sends");
    let length = a.recv(&mut buffer).expect("the other direction is open");
    assert_eq!(&buffer[..length], b"answer");
    while relay.traffic(A, B).cut == 0 {
        std::thread::yield_now();
    }
    relay.heal(A, B);
    a.send(b"again").expect("sends");
    let length = b.recv(&mut buffer).expect("arrives");
    assert_eq!(&buffer[..length], b"again", "what met the cut is gone for good");
}

#[test]
fn a_dropped_relay_closes_its_sockets() {
    let (relay, a, _b) = pair();
    let address = a.peer_addr().expect("connected");
    drop(relay);
    UdpSocket::bind(address).expect("the address is free again");
}

/// Not a test: prints how far delays are off, one datagram at a time and in bursts such as QUIC sends.
#[test]
#[ignore = "a measurement"]
fn accuracy() {
    for (burst, total) in [(1, 3_000), (10, 30_000), (40, 120_000)] {
        let (relay, a, b) = pair();
        socket2::SockRef::from(&b).set_recv_buffer_size(4 << 20).expect("sets");
        let epoch = Instant::now();
        let sender = std::thread::spawn(move || {
            for _ in 0..total / burst {
                for _ in 0..burst {
                    let mut bytes = [0; 1200];
                    bytes[..8].copy_from_slice(&(epoch.elapsed().as_nanos() as u64).to_le_bytes());
                    a.send(&bytes).expect("sends");
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut late: Vec<u64> = Vec::new();
        let mut buffer = [0; 1500];
        b.set_read_timeout(Some(Duration::from_secs(1))).expect("sets");
        while late.len() < total && b.recv(&mut buffer).is_ok() {
            let now = epoch.elapsed().as_nanos() as u64;
            let sent = u64::from_le_bytes(*buffer.first_chunk().expect("long enough"));
            late.push((now - sent - DELAY.as_nanos() as u64) / 1000);
        }
        let rate = late.len() as f64 / epoch.elapsed().as_secs_f64();
        sender.join().expect("the sender does not panic");
        late.sort_unstable();
        let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
        println!(
            "bursts of {burst}, {rate:.0}/s: {} of {total}; late by p50 {} µs, p99 {} µs, most {} µs; {:?}",
            late.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            relay.traffic(A, B),
        );
    }
}
