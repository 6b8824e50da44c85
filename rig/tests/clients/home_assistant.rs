//! Home Assistant, as its MJPEG camera reads: with aiohttp, the first picture
//! up to its `FFD9`, and giving up on ten seconds of silence.

use std::process::Command;

use crate::{camera::GREEN, camera::picture, run, site::Site};

/// What `async_extract_image_from_mjpeg` of Home Assistant's
/// `components/mjpeg/camera.py` does with its `TIMEOUT`, and then aiohttp's own
/// reader of multipart.
const READ: &str = r#"
import aiohttp, asyncio, sys
url, parts = sys.argv[1], int(sys.argv[2])

async def still(session):
    async with asyncio.timeout(10):
        response = await session.get(url, ssl=False)
        data = b""
        async for chunk in response.content.iter_chunked(1024):
            data += chunk
            end = data.find(b"\xff\xd9")
            if end == -1:
                continue
            start = data.find(b"\xff\xd8")
            if start == -1:
                continue
            response.close()
            return data[start:end + 2]

async def main():
    async with aiohttp.ClientSession() as session:
        print("still", (await still(session)).hex())
        async with session.get(url, ssl=False) as response:
            reader = aiohttp.MultipartReader.from_response(response)
            for _ in range(parts):
                part = await asyncio.wait_for(reader.next(), 10)
                body = await asyncio.wait_for(part.read(decode=False), 10)
                print("part", part.headers["Content-Type"], bytes(body).hex())
asyncio.run(main())
"#;

#[test]
#[ignore = "needs the relay's binary and aiohttp: run scripts/test"]
fn home_assistant_reads_pictures_and_waits_for_a_camera_that_is_unplugged() {
    let site = Site::start("home-assistant", GREEN);
    let hex: String = picture(GREEN)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let lines = read(&site, 5);
    assert_eq!(lines[0], format!("still {hex}"));
    assert_eq!(lines[1..], vec![format!("part image/jpeg {hex}"); 5]);

    // Without the camera there is a picture that says so, again and again.
    site.camera.unplug();
    let lines = read(&site, 4);
    assert_eq!(lines.len(), 5);
    for line in &lines {
        let (_, picture) = line.rsplit_once(' ').unwrap();
        assert!(
            picture.starts_with("ffd8") && picture.ends_with("ffd9"),
            "{line}"
        );
    }
    assert_ne!(lines[4], format!("part image/jpeg {hex}"));
}

fn read(site: &Site, parts: usize) -> Vec<String> {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", READ, &site.stream(), &parts.to_string()]);
    let output = run(&mut python);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}
