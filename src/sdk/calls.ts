// The calls of kiln.v1 by name, with the JSON types of their messages. Types only: nothing of it exists at run time.

import type {
  ListDirectoryRequestJson,
  ListDirectoryResponseJson,
  MakeDirectoryRequestJson,
  MakeDirectoryResponseJson,
  ReadArchiveRequestJson,
  ReadArchiveResponseJson,
  RemovePathRequestJson,
  RemovePathResponseJson,
  RenamePathRequestJson,
  RenamePathResponseJson,
  StatPathRequestJson,
  StatPathResponseJson,
  WatchPathRequestJson,
  WatchPathResponseJson,
  WriteArchiveRequestJson,
  WriteArchiveResponseJson,
} from "../gen/kiln/v1/files_pb.js";
import type {
  GetImageRequestJson,
  GetImageResponseJson,
  ImportImageRequestJson,
  ImportImageResponseJson,
  ListImagesRequestJson,
  ListImagesResponseJson,
  PruneImagesRequestJson,
  PruneImagesResponseJson,
  PullImageRequestJson,
  PullImageResponseJson,
  RemoveImageRequestJson,
  RemoveImageResponseJson,
  SaveImagesRequestJson,
  SaveImagesResponseJson,
  TagImageRequestJson,
  TagImageResponseJson,
} from "../gen/kiln/v1/image_pb.js";
import type {
  BuildKernelRequestJson,
  BuildKernelResponseJson,
  ImportKernelRequestJson,
  ImportKernelResponseJson,
  ListKernelsRequestJson,
  ListKernelsResponseJson,
  RemoveKernelRequestJson,
  RemoveKernelResponseJson,
} from "../gen/kiln/v1/kernel_pb.js";
import type {
  AttachRequestJson,
  AttachResponseJson,
  ExecRequestJson,
  ExecResponseJson,
  LogsRequestJson,
  LogsResponseJson,
} from "../gen/kiln/v1/process_pb.js";
import type {
  DiskUsageRequestJson,
  DiskUsageResponseJson,
  EventsRequestJson,
  EventsResponseJson,
  InfoRequestJson,
  InfoResponseJson,
  PruneRequestJson,
  PruneResponseJson,
  VersionRequestJson,
  VersionResponseJson,
} from "../gen/kiln/v1/system_pb.js";
import type {
  AddPortRequestJson,
  AddPortResponseJson,
  CreateVmRequestJson,
  CreateVmResponseJson,
  GetVmRequestJson,
  GetVmResponseJson,
  KillVmRequestJson,
  KillVmResponseJson,
  ListVmsRequestJson,
  ListVmsResponseJson,
  PauseVmRequestJson,
  PauseVmResponseJson,
  RemovePortRequestJson,
  RemovePortResponseJson,
  RemoveVmRequestJson,
  RemoveVmResponseJson,
  RestartVmRequestJson,
  RestartVmResponseJson,
  StartVmRequestJson,
  StartVmResponseJson,
  StatsRequestJson,
  StatsResponseJson,
  StopVmRequestJson,
  StopVmResponseJson,
  UnpauseVmRequestJson,
  UnpauseVmResponseJson,
  UpdateVmRequestJson,
  UpdateVmResponseJson,
  WaitVmRequestJson,
  WaitVmResponseJson,
} from "../gen/kiln/v1/vm_pb.js";

interface Call<Request, Response> {
  request: Request;
  response: Response;
}

/** One request, one response. */
export interface UnaryCalls {
  "VmService/StartVm": Call<StartVmRequestJson, StartVmResponseJson>;
  "VmService/StopVm": Call<StopVmRequestJson, StopVmResponseJson>;
  "VmService/RestartVm": Call<RestartVmRequestJson, RestartVmResponseJson>;
  "VmService/UpdateVm": Call<UpdateVmRequestJson, UpdateVmResponseJson>;
  "VmService/KillVm": Call<KillVmRequestJson, KillVmResponseJson>;
  "VmService/PauseVm": Call<PauseVmRequestJson, PauseVmResponseJson>;
  "VmService/UnpauseVm": Call<UnpauseVmRequestJson, UnpauseVmResponseJson>;
  "VmService/RemoveVm": Call<RemoveVmRequestJson, RemoveVmResponseJson>;
  "VmService/ListVms": Call<ListVmsRequestJson, ListVmsResponseJson>;
  "VmService/GetVm": Call<GetVmRequestJson, GetVmResponseJson>;
  "VmService/WaitVm": Call<WaitVmRequestJson, WaitVmResponseJson>;
  "VmService/StatPath": Call<StatPathRequestJson, StatPathResponseJson>;
  "VmService/MakeDirectory": Call<MakeDirectoryRequestJson, MakeDirectoryResponseJson>;
  "VmService/RemovePath": Call<RemovePathRequestJson, RemovePathResponseJson>;
  "VmService/RenamePath": Call<RenamePathRequestJson, RenamePathResponseJson>;
  "VmService/AddPort": Call<AddPortRequestJson, AddPortResponseJson>;
  "VmService/RemovePort": Call<RemovePortRequestJson, RemovePortResponseJson>;
  "ImageService/ListImages": Call<ListImagesRequestJson, ListImagesResponseJson>;
  "ImageService/GetImage": Call<GetImageRequestJson, GetImageResponseJson>;
  "ImageService/TagImage": Call<TagImageRequestJson, TagImageResponseJson>;
  "ImageService/RemoveImage": Call<RemoveImageRequestJson, RemoveImageResponseJson>;
  "ImageService/PruneImages": Call<PruneImagesRequestJson, PruneImagesResponseJson>;
  "KernelService/ListKernels": Call<ListKernelsRequestJson, ListKernelsResponseJson>;
  "KernelService/RemoveKernel": Call<RemoveKernelRequestJson, RemoveKernelResponseJson>;
  "SystemService/Version": Call<VersionRequestJson, VersionResponseJson>;
  "SystemService/Info": Call<InfoRequestJson, InfoResponseJson>;
  "SystemService/DiskUsage": Call<DiskUsageRequestJson, DiskUsageResponseJson>;
  "SystemService/Prune": Call<PruneRequestJson, PruneResponseJson>;
}

/** Streams of requests, of responses, or of both. */
export interface StreamCalls {
  "VmService/CreateVm": Call<CreateVmRequestJson, CreateVmResponseJson>;
  "VmService/Logs": Call<LogsRequestJson, LogsResponseJson>;
  "VmService/Exec": Call<ExecRequestJson, ExecResponseJson>;
  "VmService/Attach": Call<AttachRequestJson, AttachResponseJson>;
  "VmService/ReadArchive": Call<ReadArchiveRequestJson, ReadArchiveResponseJson>;
  "VmService/WriteArchive": Call<WriteArchiveRequestJson, WriteArchiveResponseJson>;
  "VmService/ListDirectory": Call<ListDirectoryRequestJson, ListDirectoryResponseJson>;
  "VmService/WatchPath": Call<WatchPathRequestJson, WatchPathResponseJson>;
  "VmService/Stats": Call<StatsRequestJson, StatsResponseJson>;
  "ImageService/PullImage": Call<PullImageRequestJson, PullImageResponseJson>;
  "ImageService/SaveImages": Call<SaveImagesRequestJson, SaveImagesResponseJson>;
  "ImageService/ImportImage": Call<ImportImageRequestJson, ImportImageResponseJson>;
  "KernelService/BuildKernel": Call<BuildKernelRequestJson, BuildKernelResponseJson>;
  "KernelService/ImportKernel": Call<ImportKernelRequestJson, ImportKernelResponseJson>;
  "SystemService/Events": Call<EventsRequestJson, EventsResponseJson>;
}

/** Name of a unary call. */
export type UnaryName = keyof UnaryCalls;
/** Name of a streaming call. */
export type StreamName = keyof StreamCalls;
