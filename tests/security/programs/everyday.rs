// SPDX-License-Identifier: Apache-2.0
// What Rust programs do; each prints a line.
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

fn threads() -> usize {
    let found = Arc::new(Mutex::new(HashMap::new()));
    let (sender, receiver) = mpsc::channel();
    let started: Vec<_> = (0..16usize)
        .map(|number| {
            let (found, sender) = (Arc::clone(&found), sender.clone());
            thread::Builder::new()
                .name(format!("worker {number}"))
                .spawn(move || {
                    found.lock().unwrap().insert(number, vec![0u8; 100_000]);
                    sender.send(number).unwrap();
                })
                .unwrap()
        })
        .collect();
    for each in started {
        each.join().unwrap();
    }
    drop(sender);
    let kept = found.lock().unwrap().len();
    receiver.iter().sum::<usize>() + kept
}

fn server() -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_nodelay(true).unwrap();
        peer.write_all(&vec![7u8; 1_000_000]).unwrap();
    });
    let mut body = Vec::new();
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.read_to_end(&mut body).unwrap();
    serving.join().unwrap();
    body.len()
}

// io::copy takes copy_file_range, sendfile or splice where it finds them.
fn copied() -> (u64, u64, bool) {
    std::fs::write("/tmp/rust", vec![1u8; 500_000]).unwrap();
    let mut to = File::create("/tmp/rust2").unwrap();
    let files = std::io::copy(&mut File::open("/tmp/rust").unwrap(), &mut to).unwrap();
    to.sync_all().unwrap();
    let (mut left, mut right) = UnixStream::pair().unwrap();
    let reading = thread::spawn(move || {
        let mut body = Vec::new();
        right.read_to_end(&mut body).unwrap();
        body
    });
    let socket = std::io::copy(&mut File::open("/tmp/rust2").unwrap(), &mut left).unwrap();
    drop(left);
    let body = reading.join().unwrap();
    (files, socket, body == std::fs::read("/tmp/rust").unwrap())
}

fn child() -> String {
    let mut cat = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(b"hello").unwrap();
    let echo = cat.wait_with_output().unwrap();
    String::from_utf8(echo.stdout).unwrap()
}

fn main() {
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body).unwrap();
    let begin = Instant::now();
    println!("body {}", body.len());
    println!("threads {}", threads());
    println!("server {}", server());
    println!("copied {:?}", copied());
    println!("child {}", child());
    let caught = std::panic::catch_unwind(|| {
        let none: Option<u8> = None;
        none.unwrap()
    });
    println!("unwound {}", caught.is_err());
    thread::sleep(Duration::from_millis(5));
    println!("slept {}", begin.elapsed() >= Duration::from_millis(5));
}
