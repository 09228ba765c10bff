// What every plugin of castd needs, whatever it does: take this file for one of your own.

import path from 'node:path';
import grpc from '@grpc/grpc-js';
import { castd, health } from './protocol.mjs';

// Version of the protocol, and the most octets that a message of it has.
const version = 1;
const maxMessage = 16 << 20;

// log writes a line into castd's log. level is "debug", "info", "warn" or "error".
export function log(level, msg, fields = {}) {
  process.stderr.write(`${JSON.stringify({ level, msg, ...fields })}\n`);
}

// ConfigError says what is wrong with the settings. castd shows its message to the operator: it should say what to write instead.
export class ConfigError extends Error {}

// Host is what a plugin may ask of castd. call('notify', { message }) gives a promise of the answer; other methods likewise.
class Host {
  #client;
  #metadata = new grpc.Metadata();

  constructor(environment) {
    this.#client = new castd.Host(`unix:${environment.CASTD_HOST_SOCKET}`, grpc.credentials.createInsecure());
    this.#metadata.set('castd-token', environment.CASTD_HOST_TOKEN ?? '');
  }

  call(method, request) {
    return new Promise((resolve, reject) => {
      const done = (err, answer) => (err ? reject(err) : resolve(answer));
      this.#client[method](request, this.#metadata, { deadline: Date.now() + 5000 }, done);
    });
  }
}

// serve runs a plugin: description is what it says of itself, and plugin has
//   configure({ settings, granted, folder, castd, epoch, host })   once, before anything else; throws a ConfigError
//   attend(room)     for each room; returns { message(m), end() }, which get each ToPlugin and are told that castd left the room
//   health()         a sentence for the operator, "" when all is well
//   metrics()        a list of { name, help, value }
//   stop(deadline)   a promise; deadline is a time of Date.now()
export function serve(description, plugin) {
  if (process.argv[2] === 'describe') {
    process.stdout.write(`${JSON.stringify(description, null, 2)}\n`);
    return;
  }
  if (process.env.CASTD_PLUGIN_COOKIE !== 'castd.plugin') {
    const [, file] = process.argv;
    const does = `type castd plugin install ${file}, or castd plugin run ${file} to try it out`;
    process.stderr.write(`${description.name} is a plugin of castd, which starts it: ${does}\n`);
    process.exitCode = 1;
    return;
  }
  // castd shows the last line that a plugin has printed: without this it would be the version of node.
  process.on('uncaughtException', (err) => {
    log('error', `crashed: ${err.stack.replaceAll('\n', ' ')}`);
    process.exit(1);
  });
  process.stderr.on('error', () => {}); // castd is gone
  dieWithParent();

  const server = new grpc.Server({ 'grpc.max_receive_message_length': maxMessage, 'grpc.max_send_message_length': maxMessage });
  server.addService(castd.Plugin.service, base(description, plugin, server));
  server.addService(castd.Rooms.service, { attend: (call) => attend(plugin, call) });
  server.addService(health.Health.service, { check: (_, answer) => answer(null, { status: 'SERVING' }) });
  const socket = path.join(process.env.PLUGIN_UNIX_SOCKET_DIR ?? '.', 'plugin');
  server.bindAsync(`unix:${socket}`, grpc.ServerCredentials.createInsecure(), (err) => {
    if (err) throw err;
    // go-plugin's handshake: its own version, that of the protocol, where to call, and how.
    process.stdout.write(`1|${version}|unix|${socket}|grpc\n`);
  });
}

// dieWithParent ends the process when castd is gone, where the system does not.
function dieWithParent() {
  const parent = Number(process.env.CASTD_PARENT);
  if (!parent) return; // run by somebody else's host
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, 1000).unref();
}

// base is the service Plugin.
function base(description, plugin, server) {
  const { name, version, capabilities, permissions } = description;
  let configured = false;
  return {
    describe: (_, answer) => answer(null, { name, version, capabilities, permissions }),
    configure({ request }, answer) {
      if (configured) {
        answer({ code: grpc.status.FAILED_PRECONDITION, details: 'configured already' });
        return;
      }
      configured = true;
      try {
        const { granted, folder, castd: castdVersion, epoch } = request;
        const settings = request.config.length > 0 ? JSON.parse(request.config.toString()) : {};
        plugin.configure({ settings, granted, folder, castd: castdVersion, epoch, host: new Host(process.env) });
        answer(null, {});
      } catch (err) {
        answer({ code: err instanceof ConfigError ? grpc.status.INVALID_ARGUMENT : grpc.status.INTERNAL, details: err.message });
      }
    },
    health: (_, answer) => answer(null, { problem: plugin.health() }),
    metrics: (_, answer) => answer(null, { metrics: plugin.metrics() }),
    async shutdown({ request }, answer) {
      try {
        await plugin.stop(Date.now() + request.deadlineMs);
        answer(null, {});
      } catch (err) {
        answer({ code: grpc.status.INTERNAL, details: err.message });
      }
      // castd hangs up when it has the answer, and kills who is still there 2 s later.
      server.tryShutdown(() => process.exit(0));
      setTimeout(() => process.exit(0), 1000);
    },
  };
}

// attend takes part in a room, until castd has left it.
function attend(plugin, call) {
  let room;
  call.on('data', (message) => {
    room ??= plugin.attend(message.begin.room);
    room.message(message);
    call.write({ ack: message.number }); // castd sends no more than 25 messages ahead of what was acknowledged
  });
  const end = () => {
    room?.end();
    room = undefined;
  };
  call.on('end', () => {
    end();
    call.end();
  });
  call.on('cancelled', end);
  call.on('error', end);
}
