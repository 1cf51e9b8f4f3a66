//! The answer to a guest that calls `/.fly/api` while nobody is there to answer.

/// A whole HTTP/1.1 response; the connection ends after it.
pub(crate) fn response() -> Vec<u8> {
    const BODY: &str = concat!(
        r#"{"error":"control is away","code":"control_unavailable","#,
        r#""retryable":true,"hint":"retry in a second"}"#
    );
    format!(
        "HTTP/1.1 503 Service Unavailable\r\n\
         Content-Type: application/json\r\n\
         Content-Length: {}\r\n\
         Retry-After: 1\r\n\
         Connection: close\r\n\
         \r\n\
         {BODY}",
        BODY.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_is_as_long_as_said_and_json() {
        let text = String::from_utf8(super::response()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["code"], "control_unavailable");
        assert_eq!(body["retryable"], true);
    }
}
