//! Errors as the program shows them.

use std::backtrace::Backtrace;

use candle_wsss_baselines::Error;

#[test]
fn no_backtrace_in_a_message() {
    let traced = |err: candle_core::Error| candle_core::Error::WithBacktrace {
        inner: Box::new(err),
        backtrace: Box::new(Backtrace::force_capture()),
    };
    let plain = || candle_core::Error::Msg("matmul: shapes do not fit".to_string());
    assert!(
        traced(plain()).to_string().lines().count() > 1,
        "candle no longer shows traces; then nor need we hide them"
    );
    for err in [plain(), traced(plain()), traced(traced(plain()))] {
        let err = Error::from(err);
        assert_eq!((err.to_string().as_str(), err.exit_code()), ("matmul: shapes do not fit", 1));
    }
}

#[test]
fn exit_codes() {
    let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
    for (err, code) in [
        (Error::Config("seed".to_string()), 2),
        (Error::OutputExists("out".into()), 2),
        (candle_wsss::Error::config("crop", "is 0").into(), 2),
        (Error::data("a.jpg", "is cut short"), 3),
        (Error::input("a.jpg", "an image")(missing()), 3),
        (candle_wsss::Error::state("model.fc8.weight", "missing").into(), 3),
        (Error::Diverged { step: 1, what: "loss term `cls`".to_string(), value: f64::NAN }, 4),
        (Error::Interrupted(String::new()), 130),
        (Error::io("out")(missing()), 1),
        (candle_wsss::Error::value("batch", "is empty").into(), 1),
    ] {
        assert_eq!(err.exit_code(), code, "{err}");
    }
    let field = Error::from(candle_wsss::Error::config("crop", "is 0")).within("loader").to_string();
    assert_eq!(field, "config field `loader.crop`: is 0");
}
