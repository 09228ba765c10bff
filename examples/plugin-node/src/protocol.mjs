// The two protocols, read from their .proto files, which the build puts into the program as text.

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import protobuf from 'protobufjs';
// In a repository of your own: a copy of plugins/sdk/protocol/plugin.proto.
import pluginText from '../../../plugins/sdk/protocol/plugin.proto';
import healthText from './health.proto';

// Numbers of 64 bits become numbers: those of the protocol stay below 2^53. What is absent has its default.
const options = { longs: Number, enums: String, defaults: true };

function load(text) {
  return grpc.loadPackageDefinition(protoLoader.fromJSON(protobuf.parse(text).root.toJSON(), options));
}

// castd has the clients and services Plugin, Rooms and Host; health has Health.
export const castd = load(pluginText).castd.plugin.v1;
export const health = load(healthText).grpc.health.v1;
