//! The other component of examples/compose: what the first one imports as `greeting`.

wit_bindgen::generate!({ path: "../greeting.wit", world: "greeter" });

struct Greeter;

impl exports::tenon::examples::greeting::Guest for Greeter {
    fn greet(name: String) -> Result<String, String> {
        match name.as_str() {
            "" => Err("to whom?\n".into()),
            name => Ok(format!("Hello {name}, from Rust through C!\n")),
        }
    }
}

export!(Greeter);
