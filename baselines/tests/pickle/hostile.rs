use candle_wsss_baselines::pickle::Pickle;

fn refusal(bytes: &[u8]) -> String {
    let reason = Pickle::read(bytes).unwrap_err();
    assert!(!reason.contains('\n'), "{reason}");
    reason
}

#[test]
fn what_acts_is_refused_by_name() {
    for (bytes, name) in [
        (&b"\x80\x02cposix\nsystem\nX\x08\x00\x00\x00touch /xq\x00\x85R."[..], "`posix.system`"),
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.", "`os.system`"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02ls\x85R.", "`os.system`"),
        (b"\x80\x02c__builtin__\neval\nU\x011\x85R.", "`__builtin__.eval`"),
        (b"\x80\x03cbuiltins\nexec\nX\x01\x00\x00\x001\x85R.", "`builtins.exec`"),
        (b"\x80\x03cbuiltins\ngetattr\n.", "`builtins.getattr`"),
        (b"\x80\x02csubprocess\nPopen\n)\x81.", "`subprocess.Popen`"),
        (b"\x80\x02cimportlib.util\nfind_spec\n.", "`importlib.util.find_spec`"),
        (b"\x80\x02(X\x02\x00\x00\x00lsios\nsystem\n.", "`os.system`"),
        (b"\x80\x02(cshutil\nrmtree\nX\x01\x00\x00\x00/o.", "`shutil.rmtree`"),
    ] {
        assert_eq!(refusal(bytes), format!("{name} is no constructor of tensors or arrays; nothing was executed"));
    }
    for (bytes, part) in [
        (&b"\x80\x02(ccollections\nOrderedDict\no."[..], "(OBJ)"),
        (b"\x80\x02\x82\x01.", "(EXT)"),
        (b"\x80\x02\x83\x01\x00.", "(EXT)"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "(EXT)"),
        (b"\x80\x05\x97.", "a buffer outside"),
        (b"\x80\x02X\x01\x00\x00\x00a)R.", "calls what is no name"),
        (b"\x80\x02ccollections\nOrderedDict\n)R)R.", "calls what is no name"),
        (b"\x80\x02}}b.", "a state for what has none"),
        (b"\x80\x02S'ls'\n.", "protocol 0"),
        (b"cos\nsystem\n(S'ls'\ntR.", "no pickle of protocol 2 to 5"),
        (b"\x80\x06N.", "protocol 6"),
    ] {
        let reason = refusal(bytes);
        assert!(reason.contains(part), "`{part}` is not in: {reason}");
    }
}

#[test]
fn damage_is_told() {
    for (bytes, part) in [
        (&b"\x80\x02"[..], "ends too early"),
        (b"\x80\x02.", "without a value"),
        (b"\x80\x02NX\xff\xff\xff\xffab.", "4294967295 bytes are announced at byte 8, 3 are left"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.", "18446744073709551615 bytes"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab.", "ends too early"),
        (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fab.", "ends too early"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f.", "ends too early"),
        (b"\x80\x02\x8b\xff\xff\xff\xff.", "ends too early"),
        (b"\x80\x02\x8a\x11aaaaaaaaaaaaaaaaa.", "a number of 17 bytes"),
        (b"\x80\x02h\x01.", "damaged at byte 2: a reference to what was not kept"),
        (b"\x80\x02t.", "finds no mark"),
        (b"\x80\x02N(\x85.", "too little on the stack"),
        (b"\x80\x02N(0.", "too little on the stack"),
        (b"\x80\x02}(Nu.", "a key without a value"),
        (b"\x80\x02NNa.", "appends to what is no list"),
        (b"\x80\x02NNNs.", "sets items"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (b"\x80\x04NN\x93.", "a name that is no text"),
        (b"\x80\x02\xff.", "no opcode"),
        (b"\x80\x02cos.path", "has no end"),
        (b"\x80\x02ccollections\nOrderedDict\nNR.", "arguments that are no tuple"),
    ] {
        let reason = refusal(bytes);
        assert!(reason.contains(part), "`{part}` is not in: {reason}");
    }
}

#[test]
fn depth_costs_nothing() {
    // A list in a list in a list, a million deep; and a million marks.
    let deep = [b"\x80\x02".to_vec(), vec![b']'; 1_000_000], vec![b'a'; 999_999], b".".to_vec()].concat();
    let pickle = Pickle::read(&deep).unwrap();
    assert_eq!(pickle.describe(pickle.root()), "a list of 1");
    drop(pickle);
    let tuples = [b"\x80\x02N".to_vec(), vec![0x85; 1_000_000], b".".to_vec()].concat();
    drop(Pickle::read(&tuples).unwrap());
    let marks = [b"\x80\x02".to_vec(), vec![b'('; 1_000_000], b".".to_vec()].concat();
    assert!(refusal(&marks).contains("without a value"));
}

#[test]
fn what_unfolds_to_billions_stays_small() {
    // Ten times the same list, ten times that list, and so on: 10^60 members, 61 nodes.
    let mut laughs = b"\x80\x02]q\x00".to_vec();
    for level in 0..60_u8 {
        laughs.extend([b'(']);
        laughs.extend([b'h', level].repeat(10));
        laughs.extend([b'l', b'q', level + 1]);
    }
    laughs.push(b'.');
    let pickle = Pickle::read(&laughs).unwrap();
    assert_eq!(pickle.describe(pickle.root()), "a list of 10");
    let many = [b"\x80\x02(".to_vec(), vec![b'N'; 2000], b"l.".to_vec()].concat();
    assert_eq!(Pickle::read_within(&many, 2000).unwrap_err(), "more than 2000 values in one pickle");
    assert!(Pickle::read_within(&many, 2001).is_ok());
    let references = [b"\x80\x04N".to_vec(), vec![0x94; 2000], b".".to_vec()].concat();
    assert_eq!(Pickle::read_within(&references, 100).unwrap_err(), "more than 100 references in one pickle");
}
