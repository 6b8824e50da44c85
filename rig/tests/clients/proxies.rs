//! What stands between a relay and who watches.

use std::{fs, process::Command};

use pinhole_rig::process::Process;

use crate::{
    camera::{GREEN, RED, picture},
    eventually, run_to_any_end,
    site::{Site, free_tcp_address},
};

#[test]
#[ignore = "needs the relay's binary and nginx: run scripts/test"]
fn nginx_passes_pictures_on_as_they_come() {
    let site = Site::start("nginx", GREEN);
    let address = free_tcp_address();
    let origin = site.url("");
    let configuration = site.file("nginx.conf");
    // Of what matters to a stream, all is nginx's default: HTTP/1.0, buffers.
    let directory = site.directory.display();
    let text = format!(
        "daemon off; pid {directory}/nginx.pid; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {directory}/body;\n\
         proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;\n\
         uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;\n\
         server {{ listen {address}; location / {{ proxy_pass {origin}; }} }} }}\n"
    );
    fs::write(&configuration, text).unwrap();
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.args(["-e", "stderr", "-c", &configuration]);
    let log = site.directory.join("nginx.log");
    let nginx = Process::start("nginx", &mut nginx, &log).unwrap();
    eventually("nginx serves", || {
        std::net::TcpStream::connect(address).is_ok()
    });
    // Small pictures at ten a second: buffers would hold back tens of them.
    let film = || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--no-buffer", "--max-time", "3"]);
        curl.arg(format!("http://{address}/yard/stream"));
        run_to_any_end(&mut curl).stdout
    };
    let of = |film: &[u8], picture: &[u8]| {
        film.windows(picture.len())
            .filter(|part| *part == picture)
            .count()
    };
    // A machine that does much else may hold one up.
    let passes = |colour| (0..3).any(|_| of(&film(), &picture(colour)) > 5);
    assert!(passes(GREEN), "few pictures come through nginx");
    site.camera.show(RED);
    assert!(passes(RED), "few pictures come through nginx");
    nginx.require_running().unwrap();
}

#[test]
#[ignore = "needs the relay's binary and Motion: run scripts/test"]
fn motion_takes_pictures() {
    let site = Site::start("motion", GREEN);
    let directory = site.directory.display();
    let configuration = site.file("motion.conf");
    let text = format!(
        "daemon off\nsetup_mode off\nlog_level 6\nlog_file {directory}/motion-own.log\n\
         pid_file {directory}/motion.pid\ntarget_dir {directory}\n\
         netcam_url {}\nwidth 320\nheight 240\nframerate 10\n\
         movie_output off\npicture_output off\nsnapshot_interval 1\nsnapshot_filename seen\n\
         stream_port 0\nwebcontrol_port 0\n",
        site.stream()
    );
    fs::write(&configuration, text).unwrap();
    let mut motion = Command::new("motion");
    motion.args(["-n", "-c", &configuration]);
    let log = site.directory.join("motion.log");
    let motion = Process::start("motion", &mut motion, &log).unwrap();
    let seen = site.directory.join("seen.jpg");
    // Until it is connected, Motion's own picture says that it is not, in grey.
    eventually("Motion keeps a picture of the camera's", || {
        motion.require_running().unwrap();
        fs::read(&seen).is_ok_and(|jpeg| crate::camera::shows(&jpeg, GREEN))
    });
}
