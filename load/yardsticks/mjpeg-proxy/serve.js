// mjpeg-proxy as its page on npm shows it, in node's own server:
// node serve.js CAMERA-URL ADDRESS PORT [CERTIFICATE PRIVATE-KEY]
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const { MjpegProxy } = require('mjpeg-proxy');

const [camera, address, port, certificate, key] = process.argv.slice(2);
const proxy = new MjpegProxy(camera);
const server = certificate
  ? https.createServer(
      { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) },
      proxy.proxyRequest,
    )
  : http.createServer(proxy.proxyRequest);
server.listen(Number(port), address);
