//! A WireGuard endpoint made of boringtun alone: packets on one UDP socket, the tunnel's datagrams on another. The test
//! that starts it has the TCP above the packets.
//!
//!     boringtun-peer LISTEN PACKETS KEEPALIVE [ENDPOINT]
//!
//! LISTEN is where the tunnel's datagrams are received; PACKETS is the test's socket, which is greeted by an empty
//! datagram; KEEPALIVE is in seconds, 0 for none; without ENDPOINT it waits to be called. Standard input gives its
//! private and the other side's public key, 32 bytes each, and ends the program when it ends.

use std::io::{self, Read};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::time::Duration;
use std::{env, process, thread};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

const DATAGRAM_MAX: usize = 65536;
const TIMER_STEP: Duration = Duration::from_millis(100);

struct Peer {
    tunnel: Mutex<Tunn>,
    remote: Mutex<Option<SocketAddr>>, // where it was last heard from, or is said to be
    network: UdpSocket,
    packets: UdpSocket,
}

impl Peer {
    fn send(&self, datagram: &[u8]) {
        if let Some(remote) = *self.remote.lock().unwrap() {
            let _ = self.network.send_to(datagram, remote); // lost, as datagrams may be
        }
    }

    fn receive(&self) -> io::Result<()> {
        let (mut buffer, mut out) = ([0; DATAGRAM_MAX], [0; DATAGRAM_MAX]);
        loop {
            let (length, from) = self.network.recv_from(&mut buffer)?;
            let mut datagram = &buffer[..length];
            let mut tunnel = self.tunnel.lock().unwrap();
            loop {
                let result = tunnel.decapsulate(Some(from.ip()), datagram, &mut out);
                if !matches!(result, TunnResult::Err(_)) {
                    *self.remote.lock().unwrap() = Some(from);
                }
                match result {
                    TunnResult::WriteToNetwork(reply) => {
                        self.send(reply);
                        datagram = &[]; // and what waited for the session
                        continue;
                    }
                    TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                        let _ = self.packets.send(packet);
                    }
                    TunnResult::Done | TunnResult::Err(_) => {}
                }
                break;
            }
        }
    }

    fn transmit(&self) -> io::Result<()> {
        let (mut buffer, mut out) = ([0; DATAGRAM_MAX], [0; DATAGRAM_MAX]);
        loop {
            let length = self.packets.recv(&mut buffer)?;
            if let TunnResult::WriteToNetwork(datagram) = self.tunnel.lock().unwrap().encapsulate(&buffer[..length], &mut out) {
                self.send(datagram);
            }
        }
    }

    fn tick(&self) {
        let mut out = [0; DATAGRAM_MAX];
        loop {
            thread::sleep(TIMER_STEP);
            let mut tunnel = self.tunnel.lock().unwrap();
            let mut result = tunnel.update_timers(&mut out);
            if let TunnResult::Err(WireGuardError::ConnectionExpired) = result {
                result = tunnel.format_handshake_initiation(&mut out, false);
            }
            if let TunnResult::WriteToNetwork(datagram) = result {
                self.send(datagram);
            }
        }
    }
}

fn key(input: &mut impl Read) -> io::Result<[u8; 32]> {
    let mut key = [0; 32];
    input.read_exact(&mut key)?;
    Ok(key)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [listen, packets, keepalive, endpoint @ ..] = arguments.as_slice() else {
        return Err("usage: boringtun-peer LISTEN PACKETS KEEPALIVE [ENDPOINT]".into());
    };
    let mut stdin = io::stdin();
    let (private, public) = (key(&mut stdin)?, key(&mut stdin)?);
    let keepalive: u16 = keepalive.parse()?;
    let tunnel = Tunn::new(
        StaticSecret::from(private),
        PublicKey::from(public),
        None,
        (keepalive > 0).then_some(keepalive),
        0,
        None,
    );
    let peer = Peer {
        tunnel: Mutex::new(tunnel),
        remote: Mutex::new(endpoint.first().map(|text| text.parse()).transpose()?),
        network: UdpSocket::bind(listen)?,
        packets: UdpSocket::bind("127.0.0.1:0")?,
    };
    peer.packets.connect(packets)?;
    peer.packets.send(&[])?;
    let peer: &'static Peer = Box::leak(Box::new(peer));
    thread::spawn(|| peer.receive());
    thread::spawn(|| peer.transmit());
    thread::spawn(|| peer.tick());
    io::copy(&mut stdin, &mut io::sink())?;
    process::exit(0)
}
