//! A peer that plays one recorded AMQP 0-10 dialogue, and complains of the first byte that is not what the recorded
//! publisher sent. The bytes stand here as they were seen: only the heads of frames are put before them by rule.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::PATIENCE;

const CONTROL: u8 = 0;
const COMMAND: u8 = 1;

/// One dialogue, played once.
pub(crate) struct QpidPeer {
    address: String,
    result: watch::Receiver<Option<Result<(), String>>>,
    _task: JoinSet<()>,
}

impl QpidPeer {
    /// Waits for one client on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let (tell, result) = watch::channel(None);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let (client, _) = listener.accept().await.expect("a client");
            let played = play(client).await;
            tell.send_replace(Some(played));
        });
        Self {
            address,
            result,
            _task: task,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// What it did not like.
    pub(crate) fn complaint(&self) -> Option<String> {
        self.result.borrow().clone()?.err()
    }

    /// Waits until the dialogue is over, as it should be.
    pub(crate) async fn played(&self) {
        let mut result = self.result.clone();
        let ended = tokio::time::timeout(PATIENCE, result.wait_for(Option::is_some)).await;
        let ended = ended.expect("the dialogue went on").expect("the peer lives").clone();
        assert_eq!(ended, Some(Ok(())));
    }
}

async fn play(mut client: TcpStream) -> Result<(), String> {
    let header = hex("414d5150 0101000a");
    expect(&mut client, "protocol header", &header).await?;
    send(&mut client, &header).await?;
    // start: no properties, [ANONYMOUS, PLAIN], [en_US].
    let start = "0101 0700 00000004 00000000 00000017 95 00000002 0009 414e4f4e594d4f5553 0005 504c41494e";
    send(
        &mut client,
        &frame(
            CONTROL,
            &[hex(start), hex("0000000c 95 00000001 0005 656e5f5553")].concat(),
        ),
    )
    .await?;
    let properties =
        hex("00000025 00000002 07 70726f64756374 95 0006 627573776179 07 76657273696f6e 95 0005 302e312e30");
    let login = hex("09 414e4f4e594d4f5553 00000006 627573776179 05 656e5f5553");
    expect(
        &mut client,
        "start-ok",
        &frame(CONTROL, &[hex("0102 0f00"), properties, login].concat()),
    )
    .await?;
    send(&mut client, &frame(CONTROL, &hex("0105 0f00 0064 ffff 0000 0000"))).await?;
    expect(
        &mut client,
        "tune-ok",
        &frame(CONTROL, &hex("0106 0700 0064 ffff 0000")),
    )
    .await?;
    expect(&mut client, "open", &frame(CONTROL, &hex("0107 0100 00"))).await?;
    send(&mut client, &frame(CONTROL, &hex("0108 0000"))).await?;
    attach(&mut client).await?;
    exchange(&mut client).await?;
    transfer(&mut client).await?;
    // A flush while nothing is under way: answered when the publisher speaks next, with what it got (the result).
    let flush = frame(CONTROL, &hex("020c 0400"));
    send(&mut client, &[completed(2), flush].concat()).await?;
    expect(&mut client, "completed", &completed(0)).await?;
    transfer(&mut client).await?;
    send(&mut client, &completed(3)).await
}

/// attach, attached, and both sides count from 0. The name is the client's choice, and given back.
async fn attach(client: &mut TcpStream) -> Result<(), String> {
    let mut attach = vec![0; 12 + 4 + 2 + 39];
    client
        .read_exact(&mut attach)
        .await
        .map_err(|error| format!("attach: {error}"))?;
    let name = attach.split_off(12 + 4);
    let wanted = hex("0f00 0039 00 00 0000 00000000 0201 0100");
    if attach != wanted || name[..9] != *b"\x00\x27busway-" {
        return Err(format!("attach: {attach:x?} {name:x?}"));
    }
    send(client, &frame(CONTROL, &[hex("0202 0100"), name].concat())).await?;
    let command_point = frame(CONTROL, &hex("0207 0300 00000000 0000000000000000"));
    send(client, &command_point).await?;
    expect(client, "command-point", &command_point).await
}

/// The exchange is asked for, not found (as recorded), and declared: durable, otherwise as recorded.
async fn exchange(client: &mut TcpStream) -> Result<(), String> {
    expect(
        client,
        "exchange.query",
        &frame(COMMAND, &hex("0703 0101 0100 04 70756c70")),
    )
    .await?;
    send(
        client,
        &hex("0f01001e0001000000000000 0302 0100 0300 00000000 00000004 0701 0400"),
    )
    .await?;
    send(client, &completed(0)).await?;
    let declare = frame(COMMAND, &hex("0701 0101 1300 04 70756c70 05 746f706963"));
    expect(client, "exchange.declare", &declare).await?;
    send(
        client,
        &hex("0f00001a0000000000000000 020a 0100 0008 00000000 00000001"),
    )
    .await
}

/// Three frames: the command, its two headers, the body.
async fn transfer(client: &mut TcpStream) -> Result<(), String> {
    expect(client, "transfer", &piece("0b01", &hex("0401 0101 0100 04 70756c70"))).await?;
    let key = b"pulp.server.repo.sync.start";
    let delivery = [hex("00000020 0401 0002 1b"), key.to_vec()].concat();
    let headers = hex("00000037 0403 0001 0000002f 00000001 0c 717069642e7375626a656374 95 001b");
    let header = [delivery, headers, key.to_vec()].concat();
    expect(client, "header", &piece("0302", &header)).await?;
    let body = br#"{"event_type": "repo.sync.start", "payload": {"repo_id": "pulp2"}, "call_report": null}"#;
    expect(client, "body", &piece("0703", body)).await
}

/// session.completed{0-last}.
fn completed(last: u8) -> Vec<u8> {
    frame(CONTROL, &[hex("020a 0100 0008 00000000 000000"), vec![last]].concat())
}

/// A frame that is all of its assembly.
fn frame(track: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = piece(if track == CONTROL { "0f00" } else { "0f01" }, payload);
    frame[5] = track;
    frame
}

/// A frame of a command's assembly, with these flags and this kind.
fn piece(flags_and_kind: &str, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 12).expect("small").to_be_bytes();
    [&hex(flags_and_kind)[..], &size, &hex("00 01 0000 00000000"), payload].concat()
}

async fn send(client: &mut TcpStream, bytes: &[u8]) -> Result<(), String> {
    client.write_all(bytes).await.map_err(|error| error.to_string())
}

async fn expect(client: &mut TcpStream, what: &str, wanted: &[u8]) -> Result<(), String> {
    let mut got = vec![0; wanted.len()];
    client
        .read_exact(&mut got)
        .await
        .map_err(|error| format!("{what}: {error}"))?;
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: wanted {wanted:x?}, got {got:x?}"))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}
