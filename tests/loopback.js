// node --require loopback.js: every server listens on 127.0.0.1, whatever it asks for
const { Server } = require('net');
const listen = Server.prototype.listen;
Server.prototype.listen = function (...args) {
  const done = args.find((arg) => typeof arg === 'function');
  const port = typeof args[0] === 'object' && args[0] !== null ? args[0].port : args[0];
  return listen.call(this, { port: Number(port), host: '127.0.0.1' }, ...(done ? [done] : []));
};
