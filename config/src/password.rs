//! Password hashes as the existing installations store them: `scrypt$N$r$p$salt$hash`.

use scrypt::Params;
use subtle::ConstantTimeEq;

const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;

/// Hashes a password with a new salt. Takes about 50 ms of one core; call it off the async threads.
#[must_use]
pub fn hash(password: &str) -> String {
    let salt: [u8; 16] = rand::random();
    let params = Params::new(LOG_N, R, P).expect("the parameters are constants that scrypt accepts");
    let mut output = [0; 32];
    scrypt::scrypt(password.as_bytes(), &salt, &params, &mut output)
        .expect("32 bytes is a length that scrypt accepts");
    format!("scrypt${}${R}${P}${}${}", 1_u32 << LOG_N, hex::encode(salt), hex::encode(output))
}

/// Verifies a password; a stored hash that cannot be read matches nothing.
#[must_use]
pub fn verify(password: &str, stored: &str) -> bool {
    check(password, stored).unwrap_or(false)
}

fn check(password: &str, stored: &str) -> Option<bool> {
    let mut fields = stored.split('$');
    if fields.next()? != "scrypt" {
        return None;
    }
    let n: u32 = fields.next()?.parse().ok()?;
    let r: u32 = fields.next()?.parse().ok()?;
    let p: u32 = fields.next()?.parse().ok()?;
    let salt = hex::decode(fields.next()?).ok()?;
    let expected = hex::decode(fields.next()?).ok()?;
    // The cost comes from a file: cap it so that a damaged one cannot stall the server (128·N·r bytes).
    let affordable =
        n.is_power_of_two() && (2..=1 << 17).contains(&n) && (1..=32).contains(&r) && (1..=4).contains(&p);
    if fields.next().is_some() || !affordable || expected.len() != 32 {
        return None;
    }
    let log_n = u8::try_from(n.trailing_zeros()).ok()?;
    let params = Params::new(log_n, r, p).ok()?;
    let mut output = [0; 32];
    scrypt::scrypt(password.as_bytes(), &salt, &params, &mut output).ok()?;
    Some(output.as_slice().ct_eq(&expected).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifies_what_it_hashed_and_nothing_else() {
        let stored = hash("correct horse");
        assert!(verify("correct horse", &stored));
        assert!(!verify("wrong horse", &stored));
        for broken in ["", "scrypt", "scrypt$16384$8$1$zz$00", "bcrypt$1$2$3$4$5", "scrypt$3$8$1$00$00"] {
            assert!(!verify("", broken));
        }
    }
}
