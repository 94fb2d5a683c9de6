use candle_wsss_baselines::pickle::{Node, NodeId, Pickle};

use super::{fixture, spoilt};

fn mixed(protocol: u32) -> Vec<u8> {
    std::fs::read(fixture(&format!("mixed-{protocol}.pkl"))).unwrap()
}

fn value(pickle: &Pickle<'_>, key: &str) -> NodeId {
    let items = pickle.items(pickle.root()).unwrap();
    // Python 3 writes bytes in protocol 2 as a call, the name of this key then.
    let is_it = |id: NodeId| match pickle.call(id) {
        Some(call) => pickle.text(call.arguments[0]) == Some(key),
        None => pickle.text(id) == Some(key) || pickle.int(id).is_some_and(|int| int.to_string() == key),
    };
    items.iter().find(|(id, _)| is_it(*id)).unwrap().1
}

#[test]
fn every_protocol_says_the_same() {
    for protocol in 2..=5 {
        let bytes = mixed(protocol);
        let pickle = Pickle::read(&bytes).unwrap();
        assert_eq!(pickle.encoded_len(), bytes.len());
        let members = |key: &str| pickle.sequence(value(&pickle, key)).unwrap().to_vec();
        let numbers: Vec<Node<'_>> = members("numbers").iter().map(|id| pickle.node(*id).clone()).collect();
        let int = |value: i128| Node::Int(value);
        let [small, large, huge] = [-(1 << 31), 1 << 40, -(1_i128 << 100)].map(int);
        let ints = [int(0), int(-1), int(255), int(65536), small, large, huge];
        assert_eq!(numbers, [&ints[..], &[Node::Float(0.1), Node::Float(f64::NEG_INFINITY)]].concat());
        let texts: Vec<&str> = members("text").iter().map(|id| pickle.text(*id).unwrap()).collect();
        assert_eq!(texts, ["", "é".repeat(200).as_str(), "x".repeat(300).as_str()]);
        let truth: Vec<&Node<'_>> = members("truth").iter().map(|id| pickle.node(*id)).collect();
        assert_eq!(truth, [&Node::Bool(true), &Node::Bool(false), &Node::None]);
        let ordered = pickle.items(value(&pickle, "ordered")).unwrap();
        assert_eq!(ordered.iter().map(|(key, _)| pickle.text(*key).unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(pickle.sequence(ordered[1].1).unwrap().len(), 4);
        // A list that holds itself is one node.
        let ring = value(&pickle, "7");
        assert_eq!(pickle.sequence(ring).unwrap(), [ring]);
        if protocol > 2 {
            let bytes: Vec<usize> = members("bytes")
                .iter()
                .map(|id| matches!(pickle.node(*id), Node::Bytes(b) if b.len() < 301).into())
                .collect();
            assert_eq!(bytes, [1, 1, 1]);
        }
    }
}

#[test]
fn no_bytes_make_it_panic() {
    for protocol in 2..=5 {
        let whole = mixed(protocol);
        for bytes in spoilt(&whole) {
            match Pickle::read(&bytes) {
                Ok(pickle) => drop(pickle.describe(pickle.root())),
                Err(reason) => assert!(!reason.is_empty()),
            }
        }
        for len in 0..whole.len() {
            assert!(Pickle::read(&whole[..len]).is_err(), "{len} bytes of protocol {protocol} pass for a whole");
        }
    }
}

#[test]
fn python_2_wrote_strings_as_bytes() {
    // {'a': [OrderedDict([('b', 5000000000)])]} of Python 2.7: short strings, a pair list for the constructor, a line.
    let bytes = b"\x80\x02}q\x00U\x01aq\x01]q\x02ccollections\nOrderedDict\nq\x03]q\x04]q\x05(U\x01bq\x06I5000000000\nea\x85q\x07Rq\x08as.";
    let pickle = Pickle::read(bytes).unwrap();
    let list = pickle.items(pickle.root()).unwrap()[0];
    assert_eq!(pickle.text(list.0), Some("a"));
    let ordered = pickle.items(pickle.sequence(list.1).unwrap()[0]).unwrap();
    assert_eq!((pickle.text(ordered[0].0), pickle.int(ordered[0].1)), (Some("b"), Some(5_000_000_000)));
}
